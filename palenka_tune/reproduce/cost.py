"""What training costs, before anything is trained: tokens of a corpus, operations of the models, hours.

A matrix product of a weight with one token's vector is 2 operations a parameter; backward takes twice as many as
forward. Training therefore takes 6 N + 12 L d T operations a token (Kaplan et al. 2020, arXiv:2001.08361, section 2.1;
Chowdhery et al. 2022, arXiv:2204.02311, appendix B): N parameters of matrices, the output head among them also where it
shares the embedding's weights; L layers; width d; windows of T tokens, whose attention is counted whole, though half of
it is masked. Looking up embeddings, norms, softmaxes and the optimiser are not counted: what they take of the time is
part of the speed that is assumed.

Tokens are estimated without training a tokenizer: one of a scale's size makes tokens of `bytes_per_token` bytes on
stories (the storybook corpus, 1.25 M words, and its own tokenizers). Text with fewer different words has longer tokens,
so expect the estimate to be some 20 % off. Each line has two tokens more (`<s>` and `</s>`).
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

from palenka_tune.data import hub
from palenka_tune.data.corpus import open_corpus
from palenka_tune.data.prepare import BABYTALK
from palenka_tune.distill.layer_maps import resolve_layer_map
from palenka_tune.errors import UserError
from palenka_tune.models.presets import ModelPreset
from palenka_tune.reproduce.scales import ReproduceScale

POSTER_WORDS = 10_000_000  # the BabyLM strict-small track
BYTES_PER_WORD = 5.35  # with the space after it; storybook
BABYTALK_PART = 16
WORDS_PER_LINE = 10  # BabyLM is mostly transcribed speech
# Plain training of the ten rows' models at tiny took 21 to 50 GFLOP/s on one core with AVX-512, another command beside
# it. Larger products keep a core busy better: docs/performance.md has the poster's student at half its width at 2,896
# tokens/s on two cores in float32, which is 0.23 TFLOP/s.
CPU_TFLOPS = 0.05
GPU_PEAK, GPU_UTILISATION = 989.0, 0.4


def matrix_parameters(preset: ModelPreset, vocabulary: int) -> int:
    """N: weights of all matrices that a token is multiplied with, the output head included."""
    ffn = 3 * preset.width * preset.ffn if preset.ffn else 8 * preset.width**2  # GPT-2's is 4 * width, without a gate
    return preset.layers * (4 * preset.width**2 + ffn) + preset.width * vocabulary


def forward_flops(preset: ModelPreset, vocabulary: int, window: int) -> int:
    """Operations of a forward pass, per token."""
    return 2 * matrix_parameters(preset, vocabulary) + 4 * preset.layers * preset.width * window


def training_flops(preset: ModelPreset, vocabulary: int, window: int) -> int:
    """Operations of forward and backward, per token."""
    return 3 * forward_flops(preset, vocabulary, window)


def head_flops(teachers: Sequence[ModelPreset], vocabulary: int) -> int:
    """Operations that make the teachers' logits of their cached last hidden states, per token."""
    return sum(2 * teacher.width * vocabulary for teacher in teachers)


def projection_flops(student: ModelPreset, teachers: Sequence[ModelPreset]) -> int:
    """Operations of the projections of hidden states, forward and backward, per token.

    Counted for the poster's layer maps at the teachers' full width; with a rank they are fewer.
    """
    total = 0
    for number, teacher in enumerate(teachers):
        depths = {"teacher_depth": teacher.layers, "student_depth": student.layers}
        pairs = resolve_layer_map("poster", teacher=number, family=teacher.family, **depths)
        total += 6 * len(pairs) * student.width * teacher.width
    return total


@dataclass(frozen=True)
class Rate:
    """A sustained speed in TFLOP/s and where it comes from."""

    device: str
    tflops: float
    how: str

    def hours(self, flops: float) -> float:
        return flops / (self.tflops * 1e12) / 3600


def rate(scale: ReproduceScale, tflops: float | None = None) -> Rate:
    """The speed that hours are estimated with: `tflops` if given, else 2 CPU cores at `tiny` and a GPU elsewhere.

    Raises:
        UserError: if `tflops` is not positive.
    """
    if tflops is not None:
        if not 0 < tflops < 1e9:
            raise UserError(f"--tflops is {tflops}; give the sustained speed in TFLOP/s, such as 0.05 or 400")
        return Rate("yours", tflops, f"{tflops:g} TFLOP/s sustained, as given")
    if scale.name == "tiny":
        return Rate("cpu", CPU_TFLOPS, f"2 CPU cores, {1000 * CPU_TFLOPS:g} GFLOP/s sustained in float32")
    how = (
        f"one H100 at {100 * GPU_UTILISATION:g} % of {GPU_PEAK:g} TFLOP/s in bfloat16, which is assumed, not measured; "
        "models below some 100 M parameters reach less"
    )
    return Rate("gpu", GPU_UTILISATION * GPU_PEAK, how)


@dataclass(frozen=True)
class DataSize:
    """Words and tokens of the train split, and how they were estimated."""

    source: str
    words: int
    tokens: int
    how: str


def data_size(source: str | None, scale: ReproduceScale) -> DataSize:
    """The size of a corpus folder or of babytalk from its bytes and lines; for None, and for a data set of the hub,
    that of the poster's 10 M words.

    Raises:
        UserError: for a folder that is no corpus.
    """

    def tokens(size: float, lines: int) -> int:
        return round(size / scale.bytes_per_token + 2 * lines)

    if source is None or hub.is_dataset_id(source):
        what = "no data was given" if source is None else f"{source} is not read for a plan"
        how = f"{what}: taken are the poster's {POSTER_WORDS:,} words in lines of {WORDS_PER_LINE}"
        estimate = tokens(POSTER_WORDS * BYTES_PER_WORD, POSTER_WORDS // WORDS_PER_LINE)
        return DataSize(source or "BabyLM, 10 M words", POSTER_WORDS, estimate, how)
    if source == BABYTALK:
        from palenka_tune.data.babytalk.corpus import WORDS, generate

        words = WORDS["train"] // BABYTALK_PART  # takes a fraction of a second to write
        sample = generate("train", words=words)
        size, lines = _count(f"{line}\n".encode() for text in sample.values() for line in text)
        how = f"estimated from the first {words:,} of {WORDS['train']:,} words"
        return DataSize(BABYTALK, WORDS["train"], BABYTALK_PART * tokens(size, lines), how)
    size, lines = _count(_lines(source))
    how = f"estimated from {size:,} bytes in {lines:,} lines of train; no tokenizer was trained"
    return DataSize(source, round(size / BYTES_PER_WORD), tokens(size, lines), how)


def _lines(folder: str) -> Iterator[bytes]:
    for source in open_corpus(folder).splits["train"]:
        with source.path.open("rb") as file:
            yield from file


def _count(lines: Iterable[bytes]) -> tuple[int, int]:
    """(bytes, lines that are not blank)."""
    size = count = 0
    for line in lines:
        size += len(line)
        count += not line.isspace()
    return size, count
