"""What a search is asked for: YAML and options resolved into typed settings, and the space that samplers draw from."""
