"""Distillation core: losses, projections, layer maps, schedules and the training loop. Needs torch alone.

To train one student from Python as `python -m palenka_tune.distill` does, call `palenka_tune.students.run`.
"""
