"""Everything that a search logs to MLflow: trials, teachers, results and the notes beside them."""
