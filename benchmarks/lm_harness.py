"""lm-evaluation-harness as the benchmarks run it: in this process, on files of this machine, without progress bars.

In: a file of pairs. Out: a task of the harness, a language model for it, and what its `evaluate` gives.
"""

from __future__ import annotations

import logging
import os
from collections.abc import Callable, Mapping
from importlib import metadata
from pathlib import Path
from typing import TYPE_CHECKING, Any

from palenka_tune.errors import UserError

if TYPE_CHECKING:
    from transformers import PreTrainedModel, PreTrainedTokenizerFast

OFFICIAL_BLIMP = {
    "doc_to_text": "",
    "doc_to_target": 0,
    "doc_to_choice": "{{[sentence_good, sentence_bad]}}",
}
"""How the harness's own task `blimp` asks; the delimiter before the choices is its default, a space."""


def require_lm_eval() -> str:
    """The version of lm-evaluation-harness; `UserError` without it."""
    try:
        return metadata.version("lm_eval")
    except metadata.PackageNotFoundError:
        raise UserError(
            "lm-evaluation-harness is not installed; run `pip install 'palenka-tune[bench]'`, or in a clone "
            "`pip install -e '.[bench]'`"
        ) from None


def quiet_and_offline(threads: int) -> None:
    """Before the harness's libraries are loaded, which read these once: nothing is fetched, nothing is drawn."""
    os.environ.update(HF_HUB_OFFLINE="1", HF_DATASETS_OFFLINE="1", TQDM_DISABLE="1", RAYON_NUM_THREADS=str(threads))
    import datasets
    import torch

    torch.set_num_threads(threads)
    datasets.disable_progress_bars()
    logging.getLogger("lm_eval").setLevel(logging.ERROR)


def task(name: str, file: Path, cache: Path, asked: Mapping[str, str | int | Callable[..., Any]]) -> Any:
    """A multiple-choice task over the JSON lines of `file`, scored by accuracy; `asked` is how its items are put."""
    from lm_eval.api.task import ConfigurableTask

    return ConfigurableTask(
        config={
            "task": name,
            "dataset_path": "json",
            "dataset_kwargs": {"data_files": {"train": str(file)}, "cache_dir": str(cache)},
            "output_type": "multiple_choice",
            "validation_split": "train",
            "num_fewshot": 0,
            "metric_list": [{"metric": "acc", "aggregation": "mean", "higher_is_better": True}],
            **asked,
        }
    )


def language_model(model: PreTrainedModel, tokenizer: PreTrainedTokenizerFast, batch_size: int) -> Any:
    """The harness's `hf` model around ours; it keeps its latest `requests` and `answers`."""
    from lm_eval.models.huggingface import HFLM

    class Silent(HFLM):  # type: ignore[misc]
        """Without its progress bar, and keeping what it answered."""

        def loglikelihood(self, requests: Any, disable_tqdm: bool = True) -> Any:
            self.requests, self.answers = requests, super().loglikelihood(requests, disable_tqdm=True)
            return self.answers

    return Silent(pretrained=model, tokenizer=tokenizer, batch_size=batch_size)
