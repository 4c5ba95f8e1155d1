"""Names that a search and those who look at it share in MLflow: the key of its own run, and tags that the UI reads."""

from __future__ import annotations

PARENT = "search"  # our key of the search's own run, the parent of all others
NOTE = "mlflow.note.content"  # a run's description in the UI, in Markdown
RUN_NAME = "mlflow.runName"
