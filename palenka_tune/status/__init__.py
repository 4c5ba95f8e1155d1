"""What a search is doing or how it ended, read from its files without a lock, and shown."""
