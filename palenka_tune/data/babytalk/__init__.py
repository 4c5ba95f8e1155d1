"""babytalk: a made-up corpus of child-directed English and its minimal pairs, generated from a seed with no download.

`generate` and `write_corpus` give the text, `minimal_pairs` and `write_minimal_pairs` the held-out suite; `VERSION`
changes whenever their output does.
"""

from palenka_tune.data.babytalk.corpus import VERSION, WORDS, generate, write_corpus
from palenka_tune.data.babytalk.pairs import minimal_pairs, write_minimal_pairs

__all__ = ["VERSION", "WORDS", "generate", "minimal_pairs", "write_corpus", "write_minimal_pairs"]
