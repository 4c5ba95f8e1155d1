"""Search: Ray Tune runs the trials, Optuna proposes them, ASHA stops them on the student's own dev cross-entropy."""
