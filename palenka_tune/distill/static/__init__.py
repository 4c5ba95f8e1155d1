"""The optimiser step as a fixed sequence of operations on fixed memory, which a CUDA graph repeats without Python."""
