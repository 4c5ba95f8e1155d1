"""Log-probabilities of texts under a causal language model: whole sentences, or what follows a context.

The score of a text is sum_t log p(x_t | <s>, x_1 ... x_{t-1}) in nats: the start token is given, every token counts
that is not context (`skips` of the tree), and no end token is asked for.

Beginnings that sentences share are read once (`prefix_tree`), the last token of a sentence is not read at all, and the
output head works on the real positions alone, a block at a time that stays in a CPU's cache. The softmax is taken in
float32, the sum over tokens in float64.

Shapes: B rows, N nodes of the longest row, M nodes of the batch, C nodes of a block, D width, V vocabulary.
"""

from __future__ import annotations

import contextlib
import itertools
import math
from collections.abc import Callable, Iterator

import numpy as np
import torch
from transformers import PreTrainedModel

from palenka_tune.distill.matmul import quick_linears
from palenka_tune.errors import PalenkaError
from palenka_tune.evaluation.prefix_tree import PrefixTree
from palenka_tune.models import attention

Progress = Callable[[int, int], None]

_SHARING_FAMILIES = ("gpt2", "llama")
"""Architectures known to take any attention mask and positions, and whose logits are their head's output as it is."""
_BATCH_TOKENS = {"cuda": 2**14, "cpu": 2**10}
_ALIGN = 16  # PyTorch's attention on a CPU takes three times as long for 63 places as for 64
_BLOCK_BYTES = {"cuda": 2**30, "cpu": 2**20}  # a block's float32 logits


def shares_prefixes(model: PreTrainedModel) -> bool:
    """Whether `model` can read a tree of prefixes; others read sentence by sentence."""
    return model.config.model_type in _SHARING_FAMILIES and model.config._attn_implementation in (
        "sdpa",
        "eager",
        attention.NAME,
    )


@contextlib.contextmanager
def evaluating(model: torch.nn.Module) -> Iterator[None]:
    """Evaluation mode without autograd, linear layers through the faster library (`quick_linears`).

    The model's mode and what its layers computed through come back at the end.
    """
    was_training = model.training
    forwards = [(layer, vars(layer).get("forward")) for layer in model.modules()]
    model.eval()
    quick_linears(model)
    try:
        with torch.inference_mode():
            yield
    finally:
        model.train(was_training)
        for layer, forward in forwards:
            vars(layer).pop("forward", None)
            if forward is not None:
                layer.forward = forward


def score_tree(
    model: PreTrainedModel,
    tree: PrefixTree,
    *,
    pad_id: int = 0,
    batch_tokens: int | None = None,
    progress: Progress | None = None,
    greedy: np.ndarray | None = None,
) -> np.ndarray:
    """Summed log-probabilities (sentences,) float64, in nats, in the order in which the tree was given them.

    A batch holds at most `batch_tokens` tokens (None: 16,384 on a GPU, 1,024 elsewhere), but always one row. `progress`
    is called with (sentences done, sentences) after each batch. A tree whose rows branch needs a model that
    `shares_prefixes`. `greedy` (sentences,) bool, if given, is filled with whether every token that counts was the most
    probable one at its place.

    Raises:
        PalenkaError: if a score is not finite, which means that the model is broken (for instance diverged to NaN).
    """
    budget = batch_tokens or _BATCH_TOKENS.get(model.device.type, _BATCH_TOKENS["cpu"])
    log_p = torch.empty(len(tree.nodes), dtype=torch.float32, device=model.device)
    likeliest = None if greedy is None else torch.empty(len(tree.nodes), dtype=torch.bool, device=model.device)
    rows = np.flatnonzero(np.diff(tree.rows))  # all but those of empty sentences
    done = tree.sentences - int(tree.row_sentences[rows].sum())
    with evaluating(model):
        start = 0
        while start < len(rows):
            stop = start + max(1, budget // int(tree.rows[start + 1] - tree.rows[start]))
            stop = min(stop, len(rows))
            _score_rows(model, tree, pad_id, start, stop, log_p, likeliest)
            done += int(tree.row_sentences[start:stop].sum())
            start = stop
            if progress is not None:
                progress(done, tree.sentences)
    scores = tree.sums(log_p.cpu().numpy())
    if greedy is not None and likeliest is not None:
        greedy[:] = tree.sums(~likeliest.cpu().numpy()) == 0
    if not np.isfinite(scores).all():
        raise PalenkaError(
            f"{int((~np.isfinite(scores)).sum())} of {len(scores)} sentences have a log-probability that is not a "
            "finite number; the model's weights are broken, train it again with a lower learning rate"
        )
    return scores


def _score_rows(
    model: PreTrainedModel,
    tree: PrefixTree,
    pad_id: int,
    start: int,
    stop: int,
    log_p: torch.Tensor,
    likeliest: torch.Tensor | None,
) -> None:
    """Fill `log_p`, and `likeliest` if it is wanted, for the predictions of rows `start` to `stop`."""
    first, last = int(tree.rows[start]), int(tree.rows[stop])
    lengths_B = np.diff(tree.rows[start : stop + 1])
    align = _ALIGN if shares_prefixes(model) else 1
    place_N = np.arange(align * math.ceil(lengths_B[0] / align))
    real_BN = place_N < lengths_B[:, None]
    ids_BN, depths_BN = np.full(real_BN.shape, pad_id), np.zeros(real_BN.shape, dtype=np.int64)
    ends_BN = np.broadcast_to(place_N + 1, real_BN.shape).copy()  # padding sees itself, since a softmax needs something
    for padded_BN, values in ((ids_BN, tree.tokens), (depths_BN, tree.depths), (ends_BN, tree.ends)):
        padded_BN[real_BN] = values[first:last]
    inputs_MD, head = _read(
        model, *(torch.from_numpy(x).to(model.device) for x in (ids_BN, depths_BN, ends_BN, real_BN))
    )

    begin, end = np.searchsorted(tree.nodes, (first, last))
    nodes = tree.nodes[begin:end] - first
    nodes_E, targets_E = (torch.from_numpy(x).to(model.device) for x in (nodes, tree.targets[begin:end]))
    block_bytes = _BLOCK_BYTES.get(model.device.type, _BLOCK_BYTES["cpu"])
    C = max(64, block_bytes // (4 * int(model.config.vocab_size)))
    edges = np.searchsorted(nodes, np.arange(0, last - first + C, C)).tolist()
    for number, (low, high) in enumerate(itertools.pairwise(edges)):
        log_p_CV = torch.log_softmax(head(inputs_MD[number * C : (number + 1) * C]), dim=-1, dtype=torch.float32)
        places = nodes_E[low:high] - number * C
        log_p[begin + low : begin + high] = log_p_CV[places, targets_E[low:high]]
        if likeliest is not None:
            likeliest[begin + low : begin + high] = log_p_CV.argmax(dim=-1)[places] == targets_E[low:high]


def _read(
    model: PreTrainedModel, ids_BN: torch.Tensor, depths_BN: torch.Tensor, ends_BN: torch.Tensor, real_BN: torch.Tensor
) -> tuple[torch.Tensor, Callable[[torch.Tensor], torch.Tensor]]:
    """What the output head reads at the real nodes (M, D), and the head.

    An architecture that cannot share prefixes has rows of single sentences, for which its own causal mask does; it
    gives the logits themselves, whatever its head does to them, and the identity.
    """
    if not shares_prefixes(model):
        return model(input_ids=ids_BN, use_cache=False).logits[real_BN], torch.nn.Identity()
    place_N = torch.arange(ids_BN.shape[1], device=ids_BN.device)
    hidden_from_BNN = (place_N > place_N[:, None]) | (place_N[:, None] >= ends_BN[:, None])
    mask_BNN = torch.zeros(hidden_from_BNN.shape, dtype=model.dtype, device=ids_BN.device)
    mask_BNN.masked_fill_(hidden_from_BNN, torch.finfo(model.dtype).min)
    hidden_BND = model.base_model(
        input_ids=ids_BN, position_ids=depths_BN, attention_mask=mask_BNN[:, None], use_cache=False
    ).last_hidden_state
    return hidden_BND[real_BN], model.get_output_embeddings()
