"""Names that a search and those who look at it share in MLflow: the experiment, our key of its own run, UI's tags."""

from __future__ import annotations

PARENT = "search"  # our key of the search's own run, the parent of all others
EXPERIMENT = "palenka_tune"
NOTE = "mlflow.note.content"  # a run's description in the UI, in Markdown
RUN_NAME = "mlflow.runName"
