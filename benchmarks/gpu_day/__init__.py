"""What a GPU gives, in twelve minutes: `python -m benchmarks.gpu_day`."""
