"""Architectures by name (presets), sizes of experiment (scales), models built from them, and Hugging Face export."""
