"""Commands: `python -m palenka_tune.NAME`, each a typed `main(config)` and a thin parser around it."""
