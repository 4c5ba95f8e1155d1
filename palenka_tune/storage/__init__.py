"""Storage that is no folder of this machine: buckets and shared file systems, with a copy on each node to work in."""
