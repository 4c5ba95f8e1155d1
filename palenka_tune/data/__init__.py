"""Corpora, cleaning, tokenizer and token store: from a folder of text to memory-mapped windows of token ids."""
