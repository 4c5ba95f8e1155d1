"""MLflow tracking that is batched, off the training path, survives an outage and can never stop a search.

The driver of a search logs through a `Tracker`, which only appends to a spool file in the run's folder; a thread ships
the spool to MLflow. What a dead server or a crash left behind is shipped later by `replay`.
"""
