"""A run on disk: its folder, study, summary, checkpoints and heartbeats, and how it is resumed."""
