"""The poster's ten rows: what each is made of, and what it costs to make it again."""
