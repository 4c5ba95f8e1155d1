"""A model of the Hugging Face hub as a local folder: configuration, tokenizer and safetensors; never code or pickles.

huggingface_hub keeps what it loads in its own cache (HF_HOME), so that a model is loaded once a machine.
"""

from __future__ import annotations

from pathlib import Path

from palenka_tune.errors import PalenkaError, UserError, first_line
from palenka_tune.models.source import Source

TOKENIZER = (
    "tokenizer*.json",
    "tokenizer.model",
    "vocab.json",
    "merges.txt",
    "special_tokens_map.json",
    "added_tokens.json",
)
CARD = "README.md"  # its licence and language go into the student's
LIGHT = ("config.json", "generation_config.json", CARD, *TOKENIZER)
WEIGHTS = ("*.safetensors", "*.safetensors.index.json")
WHOLE = "consolidated*"  # the same weights once more, as their makers had them


def fetch(source: Source, *, weights: bool = True) -> Path:
    """The folder with the files of a repository at its revision; without `weights` in seconds, whatever its size.

    Raises:
        UserError: if there is no such repository or revision, or the token that is found may not read it.
        PalenkaError: if the hub cannot be reached.
    """
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import GatedRepoError, HfHubHTTPError, RepositoryNotFoundError, RevisionNotFoundError

    wanted = [*LIGHT, *(WEIGHTS if weights else ())]
    name = source.name if source.revision is None else f"{source.name}@{source.revision}"
    try:
        return Path(
            snapshot_download(source.name, revision=source.revision, allow_patterns=wanted, ignore_patterns=[WHOLE])
        )
    except GatedRepoError:
        raise UserError(
            f"{name} is gated: accept its terms on the Hugging Face hub and log in (hf auth login), or give a folder"
        ) from None
    except (RepositoryNotFoundError, RevisionNotFoundError) as error:
        raise UserError(
            f"{name} is no folder here, and the Hugging Face hub has no such model ({first_line(error)}); correct the "
            "path or the name, or log in if it is private (hf auth login)"
        ) from None
    except (HfHubHTTPError, OSError, ValueError) as error:
        raise PalenkaError(
            f"{name} is no folder here, and the Hugging Face hub could not be reached ({first_line(error)}); correct "
            "the path, try again later, or download the model and give its folder"
        ) from None
