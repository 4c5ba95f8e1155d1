"""The teachers' signals for every window, computed once and read by every trial.

All trials of a search see the same frozen teachers on the same windows, so the teachers' hidden states and logits are
written once, as memory-mapped Arrow shards, and a trial that distils reads them instead of running a teacher.
"""
