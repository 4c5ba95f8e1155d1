"""Distillation core: losses, projections, layer maps, schedules and the training loop. Needs torch alone."""
