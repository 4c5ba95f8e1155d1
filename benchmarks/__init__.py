"""The measurements behind `docs/performance.md`: `python -m benchmarks.NAME [--json FILE]`, one command each.

Every benchmark runs its contenders in turn within one process, round after round, so that a ratio compares what ran
under the same conditions, and prints the ratios with their spread. Nothing here is a test, and no test asserts a time.
"""
