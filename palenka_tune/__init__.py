"""palenka_tune: find the best way to distil a small language model.

Importing the package is cheap: no torch, Ray or MLflow is loaded until a command or a subpackage asks for it.
"""

__version__ = "0.1.0"
