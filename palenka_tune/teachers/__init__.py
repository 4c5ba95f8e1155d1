"""Teachers: what one is (spec), how one process trains it (worker), Ray Train around that, and running them online."""
