"""Model cards: the README.md of an exported student, from what its run measured.

A card is Markdown with the Hugging Face front matter. It states only what it is given, and always the limits that hold
for every model of this size.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from transformers import PreTrainedModel

from palenka_tune.models.build import count_parameters
from palenka_tune.words import markdown_table, percent, perplexity

_USE = """```python
from transformers import AutoModelForCausalLM, AutoTokenizer

model = AutoModelForCausalLM.from_pretrained("path/to/this/folder")
tokenizer = AutoTokenizer.from_pretrained("path/to/this/folder")
inputs = tokenizer("Once upon a time", return_tensors="pt")
print(tokenizer.decode(model.generate(**inputs, max_new_tokens=40)[0]))
```"""


def model_card(
    *,
    title: str,
    model: PreTrainedModel,
    data: str,
    settings: Mapping[str, object],
    val_ce: float,
    teachers: Sequence[str] = (),
    minimal_pairs: Mapping[str, tuple[float, float | None]] | None = None,
    limits: Sequence[str] = (),
    verdict: str | None = None,
    comparison: str | None = None,
) -> str:
    """The card's Markdown.

    `data` is one line on the training data, `settings` the recipe (flat: name to value), `val_ce` the dev
    cross-entropy in nats per token, `teachers` their names (none: trained without distillation), `minimal_pairs` maps
    a suite's name to (accuracy, standard error or None), `limits` adds what this run's reader must know, `verdict` is a
    paragraph and `comparison` a Markdown table on how it compares with students trained otherwise.
    """
    config = model.config
    origin = "trained without distillation by palenka_tune"
    if teachers:
        names = teachers[0] if len(teachers) == 1 else f"{', '.join(teachers[:-1])} and {teachers[-1]}"
        origin = f"distilled with palenka_tune from {names}"
    shown = "above 10^21" if val_ce > 50 else f"{perplexity(val_ce):,.1f}"
    scores = [("dev cross-entropy", f"{val_ce:.4f} nats per token"), ("dev perplexity", f"{shown} per token")]
    for suite, (accuracy, stderr) in (minimal_pairs or {}).items():
        scores.append((f"{suite}, accuracy (chance 50 %)", f"{percent(accuracy, stderr)} %"))
    comparisons = [text.strip() for text in (verdict, comparison) if text and text.strip()]
    all_limits = [
        *limits,
        "A research model: it knows little beyond the data above, follows no instructions and is not filtered for "
        "harmful or outdated content.",
        f"It reads at most {config.max_position_embeddings} tokens at once.",
        "Cross-entropy and perplexity are per token of this model's own tokenizer; compare them only with models that "
        "share it. Where a search chose the settings on the dev data, the dev figures are slightly optimistic.",
    ]
    parts = [
        "---\nlibrary_name: transformers\npipeline_tag: text-generation\ntags:\n- knowledge-distillation\n"
        "- palenka-tune\n---",
        f"# {title}",
        f"A {config.model_type} language model of {count_parameters(model):,} parameters "
        f"({config.num_hidden_layers} layers, width {config.hidden_size}, vocabulary {config.vocab_size:,}), {origin}.",
        f"Training data: {data}",
        "## Use",
        _USE,
        "## Results",
        markdown_table(("measure", "value"), scores, left=2),
        *(["## Comparison", *comparisons] if comparisons else []),
        "## Training settings",
        markdown_table(("setting", "value"), [(name, str(value)) for name, value in settings.items()], left=2),
        "## Limits",
        "\n".join(f"- {limit}" for limit in all_limits),
    ]
    return "\n\n".join(parts) + "\n"
