"""Configuration: strict dataclasses from YAML and `--set`, fingerprints, and files that are never half written."""
