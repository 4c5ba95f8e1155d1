"""Sending an exported student to the Hugging Face hub, and the check before the work that this will be possible.

Of an export (`models.export`) the repository OWNER/NAME gets the export's own files and nothing else. huggingface_hub
finds the token (HF_TOKEN, else the saved login); it is in no message and in no file. HF_ENDPOINT names another hub.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

from palenka_tune.errors import PalenkaError, UserError, first_line
from palenka_tune.models.folder import TOKENIZER_FILES, WEIGHT_FILES

NEEDED = ("config.json", WEIGHT_FILES[0], *TOKENIZER_FILES, "README.md")
FILES = (*NEEDED, "generation_config.json")


def check_push(name: str) -> None:
    """Ask the hub, before any work, whether the token that is found can write to OWNER/NAME.

    Raises:
        UserError: if `name` is not of that form, there is no token, the hub refuses it, it may only read, or its
            account is neither OWNER nor a member of it.
        PalenkaError: if the hub does not answer.
    """
    _check_name(name)
    account = _whoami(_token())
    token = (account.get("auth") or {}).get("accessToken") or {}
    if token.get("role") == "read":
        raise UserError(
            f"the Hugging Face token of {account['name']} may only read; make one that may write at "
            "https://huggingface.co/settings/tokens to push to the hub"
        )
    owner = name.partition("/")[0]
    owners = [account["name"], *(organisation["name"] for organisation in account.get("orgs") or [])]
    if owner.lower() not in (item.lower() for item in owners):
        raise UserError(
            f"'{name}' belongs to {owner}, but the Hugging Face token is of {account['name']}, who may push to "
            f"{', '.join(owners)}; give a name of theirs, or the token of {owner}"
        )


def push(folder: str | Path, name: str, private: bool = False) -> str:
    """Upload the export in `folder` to the model repository OWNER/NAME and return its address.

    The repository is made if it is not there; `private` holds only for one that is made. Of what lies in the folder
    only the export's own files are sent (`FILES`); files of the same name are replaced, others left as they are.

    Raises:
        UserError: if `name` is not OWNER/NAME, the folder is not an export, or there is no token.
        PalenkaError: if the hub refuses or does not answer; the folder is untouched.
    """
    _check_name(name)
    folder = Path(folder)
    missing = [file for file in NEEDED if not (folder / file).is_file()]
    if missing:
        raise UserError(f"{folder} is not an exported student ({', '.join(missing)} not found); give a folder that is")
    token = _token()
    from huggingface_hub import HfApi

    hub = HfApi(token=token)
    try:
        address = hub.create_repo(name, private=private, exist_ok=True)
        hub.upload_folder(
            repo_id=name,
            folder_path=folder,
            allow_patterns=list(FILES),
            commit_message="Student distilled with palenka_tune",
        )
    except Exception as error:  # of any kind: the export is safe on disk and can be sent again
        raise PalenkaError(
            f"{folder} could not be pushed to {name} ({_reason(error, token)}); the folder is complete, so push it "
            "again when the cause is gone"
        ) from None
    return str(address)


def _check_name(name: str) -> None:
    """The hub's rule for names: letters, digits and `-_.`, no `-` or `.` at an end, no `--` or `..`, at most 96."""
    part = r"\w(?:[\w.-]{0,94}\w)?"
    good = re.fullmatch(f"{part}/{part}", name, re.ASCII) and "--" not in name and ".." not in name
    if not good or name.endswith(".git"):
        raise UserError(
            f"'{name}' is not the name of a Hugging Face repository; give OWNER/NAME, of letters, digits, '-', '_' "
            "and '.', such as my-account/palenka-58m"
        )


def _token() -> str:
    from huggingface_hub import get_token

    token = get_token()
    if not token:
        raise UserError("no Hugging Face token was found to push with; set HF_TOKEN or run: hf auth login")
    return token


def _whoami(token: str) -> dict[str, Any]:
    from huggingface_hub import HfApi
    from huggingface_hub.errors import HfHubHTTPError

    try:
        return dict(HfApi().whoami(token=token))
    except HfHubHTTPError as error:
        if error.response is not None and error.response.status_code in (401, 403):
            raise UserError(
                "the Hugging Face hub does not accept the token that was found (HF_TOKEN, else the saved login); set "
                "another one or run: hf auth login"
            ) from None
        raise PalenkaError(f"the Hugging Face hub could not be asked ({_reason(error, token)}); try again") from None
    except Exception as error:  # connections fail in many ways, all of which mean that the hub is not there
        raise PalenkaError(
            f"the Hugging Face hub could not be reached ({_reason(error, token)}); try again later, or leave out the "
            "push and send the folder afterwards"
        ) from None


def _reason(error: Exception, token: str) -> str:
    """The error's first line, with the token struck out wherever it might have come into it."""
    return first_line(error).replace(token, "***")[:300]
