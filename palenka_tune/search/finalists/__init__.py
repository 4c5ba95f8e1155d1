"""The configurations that a search chooses, trained again on all windows over several seeds."""
