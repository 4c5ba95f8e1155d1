"""Ray clusters: attach to one, or start one on this machine that only loopback can reach."""
