"""What is measured of a student: each measure's name, unit, direction and digits, wherever it is compared or shown.

A new metric is an entry of `METRICS`; students bring its value under the same name (`distill.loop.validate` measures on
dev, `students.scoring` scores). An accuracy on a suite of minimal pairs has no entry: `metric` makes it.
"""

from __future__ import annotations

from dataclasses import dataclass

VAL_CE, TEST_CE = "val_ce", "test_ce"


@dataclass(frozen=True)
class Metric:
    """A measure. `name` is its name in rows and files, `label` and `unit` what a person reads.

    A value is shown times `scale` with `digits` decimals; a difference has the unit `difference_unit`. Finalists are
    compared by a metric that is `compared`.
    """

    name: str
    label: str
    unit: str
    digits: int = 4
    lower_is_better: bool = True
    scale: float = 1.0
    difference_unit: str = ""
    compared: bool = False

    @property
    def title(self) -> str:
        """The heading of a column or a row, such as `dev CE (nats per token)`."""
        return f"{self.label} ({self.unit})" if self.unit else self.label

    def text(self, value: float, *, signed: bool = False) -> str:
        """The value as tables show it."""
        return f"{self.scale * value:{'+' if signed else ''}.{self.digits}f}"


METRICS = {
    metric.name: metric
    for metric in (
        Metric(VAL_CE, "dev CE", "nats per token", difference_unit="nats per token", compared=True),
        Metric(TEST_CE, "test CE", "nats per token", difference_unit="nats per token", compared=True),
        Metric("val_ce_raw", "dev CE without averaging", "nats per token"),
        Metric("val_ppl", "perplexity", "", digits=2),
        Metric("val_kl", "KL from the teachers", "nats per token"),
        Metric("val_hidden", "distance of hidden states", ""),
        Metric("val_total", "total loss", ""),
    )
}
# measured of a student at its end beside the cross-entropy
TERMS = tuple(name for name in METRICS if name not in (VAL_CE, TEST_CE))
SUITE_NAMES = {
    "blimp": "BLiMP",
    "blimp_filtered": "BLiMP-filtered",
    "blimp_supplement": "BLiMP-supplement",
    "ewok": "EWoK",
    "ewok_filtered": "EWoK-filtered",
}


def metric(name: str) -> Metric:
    """The metric of that name; any other name is a suite of minimal pairs, whose metric is the accuracy."""
    if name in METRICS:
        return METRICS[name]
    label = SUITE_NAMES.get(name) or name.replace("_", " ")
    return Metric(name, label, "%", 1, False, 100.0, "points", compared=True)
