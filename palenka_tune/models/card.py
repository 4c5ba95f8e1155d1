"""Model cards: the README.md of an exported student, from what its run measured.

A card is Markdown with the Hugging Face front matter (huggingface.co/docs/hub/model-cards). It states only what it is
given, and always the limits that hold for every model of this size.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import yaml
from transformers import PreTrainedModel

import palenka_tune
from palenka_tune.config.provenance import git_commit
from palenka_tune.models.build import count_parameters
from palenka_tune.models.origin import Origin
from palenka_tune.words import markdown_table, percent, perplexity, plural

_TASK = {"type": "text-generation", "name": "Text Generation"}
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
    origin: Origin | None = None,
    sample: tuple[str, str] | None = None,
) -> str:
    """The card's Markdown.

    `data` is one line on the training data, `settings` the recipe (flat: name to value), `val_ce` the dev
    cross-entropy in nats per token, `teachers` their names (none: trained without distillation), `minimal_pairs` maps
    a suite's name to (accuracy, standard error or None), `limits` adds what this run's reader must know, `verdict` is a
    paragraph and `comparison` a Markdown table on how it compares with students trained otherwise. `sample` is a prompt
    and what the model wrote after it.
    """
    config = model.config
    made = "trained without distillation by palenka_tune"
    if teachers:
        names = teachers[0] if len(teachers) == 1 else f"{', '.join(teachers[:-1])} and {teachers[-1]}"
        made = f"distilled with palenka_tune from {names}"
    shown = "above 10^21" if val_ce > 50 else f"{perplexity(val_ce):,.1f}"
    scores = [("dev cross-entropy", f"{val_ce:.4f} nats per token"), ("dev perplexity", f"{shown} per token")]
    for suite, (accuracy, stderr) in (minimal_pairs or {}).items():
        scores.append((f"{suite}, accuracy (chance 50 %)", f"{percent(accuracy, stderr)} %"))
    comparisons = [text.strip() for text in (verdict, comparison) if text and text.strip()]
    all_limits = [
        *limits,
        "A research model: it knows little beyond the data above, follows no instructions and is not filtered for "
        "harmful or outdated content.",
        f"It reads at most {plural(config.max_position_embeddings, 'token')} at once.",
        "Cross-entropy and perplexity are per token of this model's own tokenizer; compare them only with models that "
        "share it. Where a search chose the settings on the dev data, the dev figures are slightly optimistic.",
    ]
    parts = [
        f"---\n{_metadata(title, val_ce, minimal_pairs or {}, origin)}---",
        f"# {title}",
        f"A {config.model_type} language model of {count_parameters(model):,} parameters "
        f"({plural(config.num_hidden_layers, 'layer')}, width {config.hidden_size}, vocabulary {config.vocab_size:,}), "
        f"{made}.",
        f"Training data: {data}",
        _licence_sentence(origin),
        "## Use",
        _USE,
        "## Results",
        markdown_table(("measure", "value"), scores, left=2),
        *(["## Comparison", *comparisons] if comparisons else []),
        *(["## What it writes", *_written(*sample)] if sample else []),
        "## Training settings",
        markdown_table(("setting", "value"), [(name, str(value)) for name, value in settings.items()], left=2),
        f"Made with {_made_with()}.",
        "## Limits",
        "\n".join(f"- {limit}" for limit in all_limits),
    ]
    return "\n\n".join(part for part in parts if part) + "\n"


def _metadata(
    title: str, val_ce: float, minimal_pairs: Mapping[str, tuple[float, float | None]], origin: Origin | None
) -> str:
    """The front matter, with what the hub shows of a model beside its text; figures that are no number are left out."""
    data: dict[str, Any] = {"library_name": "transformers", "pipeline_tag": "text-generation"}
    tags = ["knowledge-distillation", "palenka-tune"]
    if origin is not None:
        known = {
            "license": origin.licence,
            "language": list(origin.languages),
            "base_model": list(origin.base_models),
            "datasets": [origin.dataset] if origin.dataset else [],
        }
        data |= {name: value for name, value in known.items() if value}
    data["tags"] = tags
    if origin is not None and math.isfinite(val_ce):
        dev = {"name": origin.corpus, "type": origin.corpus, "split": "validation"}
        loss = [{"type": "loss", "name": "cross-entropy (nats per token)", "value": round(val_ce, 4)}]
        results = [{"task": _TASK, "dataset": dev, "metrics": loss}]
        for suite, (accuracy, _) in minimal_pairs.items():
            score = [{"type": "accuracy", "value": round(accuracy, 4)}]
            results.append({"task": _TASK, "dataset": {"name": suite, "type": suite}, "metrics": score})
        data["model-index"] = [{"name": title, "results": results}]
    return yaml.safe_dump(data, sort_keys=False, allow_unicode=True)


def _made_with() -> str:
    """The package, its version, and the commit if it runs from a checkout."""
    commit = git_commit()
    return f"palenka_tune {palenka_tune.__version__}" + (f", commit {commit}" if commit else "")


def _licence_sentence(origin: Origin | None) -> str:
    if origin is None or origin.licence is not None:
        return ""
    return "No licence is stated: it follows from those of the teachers and of the data."


def _written(prompt: str, text: str) -> list[str]:
    """A prompt and its continuation as a quotation, whatever Markdown is in them."""
    shown = [" ".join(part.split()).replace("`", "'") for part in (prompt, text)]
    return [
        "The first words of a dev text, and what the model finds most likely after them (greedy, but for its end):",
        f"> `{shown[0]}` → `{shown[1]}`",
    ]
