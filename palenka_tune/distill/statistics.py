"""Mean and principal components of a teacher's hidden states over train.

They centre, reduce and whiten the targets of deep supervision. Shapes: E a layer's width, N positions.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import torch
from torch import Tensor

SAMPLE_TOKENS = 65_536


def statistics_sample(windows_NT: Tensor) -> Tensor:
    """The train windows (n,T), int64, on which statistics are fitted: about 65,536 tokens, spread over all of train,
    since its first windows are of one source or one book."""
    count = min(len(windows_NT), max(1, SAMPLE_TOKENS // windows_NT.shape[1]))
    return windows_NT[torch.linspace(0, len(windows_NT) - 1, count).long()].to(torch.int64)


@dataclass(frozen=True)
class LayerStatistics:
    """`mean` (E,), `components` (E,E) with the principal directions as columns, leading first, and `variances` (E,)."""

    mean: Tensor
    components: Tensor
    variances: Tensor

    def explained(self, rank: int) -> float:
        """Fraction of the total variance in the first `rank` components."""
        return float(self.variances[:rank].sum() / self.variances.sum())


def fit_statistics(chunks: Iterable[tuple[Tensor, dict[int, Tensor]]], pad_id: int) -> dict[int, LayerStatistics]:
    """Statistics per layer from chunks of (tokens (B,T), {layer: states (B,T,E)}); padding is left out.

    Sums are in float64, so that how the sample is cut into chunks changes the result by rounding only. The largest
    entry of each component is positive, so that its sign is reproducible.
    """
    count = 0
    first: dict[int, Tensor] = {}
    second: dict[int, Tensor] = {}
    for tokens_BT, states in chunks:
        keep = tokens_BT != pad_id
        count += int(keep.sum())
        for layer, state_BTE in states.items():
            x_NE = state_BTE[keep].double()
            first[layer] = first.get(layer, 0) + x_NE.sum(0)
            second[layer] = second.get(layer, 0) + x_NE.T @ x_NE
    fitted = {}
    for layer in first:
        mean = first[layer] / count
        covariance = second[layer] / count - torch.outer(mean, mean)
        variances, components = torch.linalg.eigh((covariance + covariance.T) / 2)
        variances, components = variances.flip(0).clamp_min(0), components.flip(1)
        largest = components.gather(0, components.abs().argmax(0, keepdim=True))
        fitted[layer] = LayerStatistics(mean.float(), (components * largest.sign()).float(), variances.float())
    return fitted
