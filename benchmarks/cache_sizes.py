"""What the cache keeps of a token for teachers that people have, beside the top-50 logits that other tools keep.

    python -m benchmarks.cache_sizes [--tokens 10] [--json FILE]

Nothing is loaded: a plan tells its bytes a token from a teacher's width and vocabulary. `final_hidden` is exact at any
temperature; `hidden` is what one more state of 64 components adds for deep supervision; `sampled` keeps 64 ids drawn
from the teacher's distribution; top-50 keeps 50 values of 16 bits with ids of 32, which is a biased estimate of the
KL; `dense` keeps a value of 16 bits for every token of the vocabulary.
"""

from __future__ import annotations

from collections.abc import Sequence

from benchmarks.harness import Report, parser
from palenka_tune.cache.plan import Distribution, Need, Plan, gigabytes
from palenka_tune.commands.options import run
from palenka_tune.distill.shapes import ModelShape

TEACHERS = {
    "GPT-2": (ModelShape("GPT-2", "gpt2", 768, 12), 50_257),
    "SmolLM2-135M": (ModelShape("SmolLM2-135M", "llama", 576, 30), 49_152),
    "Qwen2.5-0.5B": (ModelShape("Qwen2.5-0.5B", "qwen2", 896, 24), 151_936),
    "Qwen3-0.6B": (ModelShape("Qwen3-0.6B", "qwen3", 1024, 28), 151_936),
    "Qwen2.5-1.5B": (ModelShape("Qwen2.5-1.5B", "qwen2", 1536, 28), 151_936),
    "Llama-3.2-1B": (ModelShape("Llama-3.2-1B", "llama", 2048, 16), 128_256),
    "Qwen2.5-7B": (ModelShape("Qwen2.5-7B", "qwen2", 3584, 28), 152_064),
}
"""Width, number of layers and vocabulary as their `config.json` say."""
COMPONENTS = 64
TOP, TOP_BYTES = 50, 2 + 4


def bytes_of(teacher: ModelShape, vocabulary: int, form: str | None, *, hidden: bool = False) -> int:
    """Bytes a token of logits in `form`, or of one hidden state in `COMPONENTS` components."""
    layers = {teacher.depth // 2: COMPONENTS} if hidden else {}
    need = Need((layers,), (Distribution((1.0,), 1.0, "logits"),))
    return Plan(need, form, "float16", 64, (teacher,), vocabulary).bytes_per_token()


def measure(millions: float) -> Report:
    """Bytes a token of each form and teacher, and what `millions` of tokens take as `final_hidden`."""
    rows = []
    for name, (teacher, vocabulary) in TEACHERS.items():
        exact, sampled, dense = (bytes_of(teacher, vocabulary, form) for form in ("final_hidden", "sampled", "dense"))
        added = bytes_of(teacher, vocabulary, None, hidden=True)
        figures = (teacher.width, vocabulary, exact, added, sampled, TOP * TOP_BYTES, dense)
        rows.append((name, *(f"{figure:,}" for figure in figures), gigabytes(exact * millions * 1e6)))
    columns = ("teacher", "width", "vocabulary", "final_hidden", "+ hidden", "sampled", f"top-{TOP}", "dense")
    return Report(
        "cache_sizes",
        "Bytes a token",
        {"millions of tokens": millions},
        (*columns, f"final_hidden, {millions:g} M tokens"),
        rows,
    )


def main(argv: Sequence[str]) -> int:
    """The command, with its arguments."""
    made = parser("cache_sizes", str(__doc__).partition("\n")[0])
    made.add_argument("--tokens", type=float, default=10.0, metavar="M", help="millions of tokens (default: 10)")
    options = made.parse_args(argv)
    measure(options.tokens).publish(options.json)
    return 0


if __name__ == "__main__":
    raise SystemExit(run(main))
