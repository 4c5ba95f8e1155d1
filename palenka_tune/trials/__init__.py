"""What a search knows of its trials: the ledger, rungs, rows, names and the verdict. No Ray and no files."""
