"""Checks, before a search costs money, whether the machines have what it needs.

`facts/` measures: Ray's address, the nodes, the storage, the databases, and what the search needs. `checks/` judges
what was measured. `run.py` does both.
"""
