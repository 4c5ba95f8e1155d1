"""Resume a search from the configuration in its study; reject any setting that would change it."""

from __future__ import annotations

import dataclasses
import json
import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import optuna
import yaml

from palenka_tune.cache.store import TeacherCache
from palenka_tune.config.build import flat
from palenka_tune.config.files import write_text
from palenka_tune.data.prepare import TRAIN, PreparedData
from palenka_tune.errors import PalenkaError, UserError
from palenka_tune.runs.place import CHANGED_BY_RESUME
from palenka_tune.runs.run_folder import SEARCH_YAML
from palenka_tune.spaces.options import More
from palenka_tune.spaces.resolve import resolve
from palenka_tune.spaces.serialise import search_yaml, tree
from palenka_tune.spaces.settings import SearchConfig
from palenka_tune.teachers.spec import Teacher

logger = logging.getLogger(__name__)
# settings that shape no trial: a resumed search may have others
FREE = ("max_failures", "checkpoint_minutes", "stall_minutes", "abort_after")


@dataclass(frozen=True)
class Wanted:
    """What a search is asked for, as its study keeps it.

    `asked` is the configuration as it was given, `yaml` the `search.yaml` that is run (without ranks for which a cache
    has no room), `data` the fingerprint of the data, `minimal_pairs` the folder to score on if one was given.
    """

    asked: dict[str, Any]
    yaml: str
    data: str
    minimal_pairs: str | None

    @classmethod
    def of(cls, study: optuna.Study) -> Wanted | None:
        """None if the process died before it wrote this down: nothing was begun then."""
        found = study.user_attrs.get("search")
        return None if found is None else cls(**found)

    @property
    def samples(self) -> int:
        """Trials that are proposed."""
        return int(yaml.safe_load(self.yaml)["search"]["samples"])

    def keep(self, study: optuna.Study) -> None:
        """Write it into the study, unless it is there."""
        value = dataclasses.asdict(self)
        if study.user_attrs.get("search") != value:
            study.set_user_attr("search", value)

    def check_data(self, prepared: PreparedData) -> None:
        """Refuse to resume with other data."""
        if prepared.fingerprint != self.data:
            raise PalenkaError(
                f"{prepared.name} is not what it was when the search began (its fingerprint is {prepared.fingerprint}, "
                f"it was {self.data}); put the old data back, or start a new search under another --name"
            )


def resumed(
    wanted: Wanted, folder: Path, given: SearchConfig | None, again: Mapping[str, Any]
) -> tuple[SearchConfig, Wanted]:
    """The search to resume: as it was, with the settings of `given` that shape no trial, and what `again` asks for.

    A damaged `search.yaml` is put back first. Raises `UserError` if `given` is another search.
    """
    path = folder / SEARCH_YAML
    if not path.exists() or path.read_bytes() != wanted.yaml.encode():
        logger.info(f"{path} is not what the search was started with, and is put back")
        write_text(path, wanted.yaml)
    config = dataclasses.replace(resolve(str(path)), space_name=folder.name)
    free: dict[str, Any] = {}
    if given is not None:
        _check_same(tree(resolve(wanted.asked)), tree(given), folder)  # an older one may spell settings otherwise
        free = {name: getattr(given.search, name) for name in FREE}
    samples = again.get("samples")
    if isinstance(samples, More):
        again = {**again, "samples": wanted.samples + samples}
    search = dataclasses.replace(config.search, **free, **again)
    if search != config.search:
        config = dataclasses.replace(config, search=search)
        wanted = dataclasses.replace(wanted, yaml=search_yaml(config, wanted.data))
    return config, wanted


def pin_form(config: SearchConfig, study: optuna.Study) -> SearchConfig:
    """The search with the form of cache that its first process chose, even if another would fit now."""
    kept = study.user_attrs.get("teachers")
    if kept is None or kept["form"] is None or config.experiment.cache.form != "auto":
        return config
    cache = dataclasses.replace(config.experiment.cache, form=kept["form"])
    return dataclasses.replace(config, experiment=dataclasses.replace(config.experiment, cache=cache))


def check_teachers(study: optuna.Study, teachers: Sequence[Teacher], cache: TeacherCache | None) -> None:
    """Note which teachers and cache the trials learn from; raises `PalenkaError` if those of an earlier process were
    others."""
    found = {
        "teachers": [teacher.fingerprint for teacher in teachers],
        "cache": None if cache is None else cache.folder.name,
        "form": None if cache is None else cache.manifest["plan"]["form"],
    }
    kept = study.user_attrs.get("teachers")
    if kept is None:
        study.set_user_attr("teachers", found)
    elif kept != found:
        check_teachers_are(study, teachers)
        raise _changed("teacher cache")


def check_teachers_are(study: optuna.Study, teachers: Sequence[Teacher]) -> None:
    """Raise `PalenkaError` unless these are the teachers that the trials learned from."""
    if study.user_attrs["teachers"]["teachers"] != [teacher.fingerprint for teacher in teachers]:
        raise _changed("teachers")


def _changed(what: str) -> PalenkaError:
    return PalenkaError(
        f"the {what} of this search changed since it began, so that its trials could not be compared; put the old ones "
        "back, or start a new search under another --name"
    )


def _plain(configuration: dict[str, Any]) -> dict[str, Any]:
    """The configuration as JSON keeps it: keys of an explicit layer map are text."""
    plain: dict[str, Any] = json.loads(json.dumps(configuration))
    return plain


def _check_same(asked: dict[str, Any], given: dict[str, Any], folder: Path) -> None:
    # resolved again, so that a setting which did not exist when the search began has its default
    before, now = flat(_plain(tree(resolve(asked)))), flat(_plain(given))
    free = {f"search.{name}" for name in (*FREE, *CHANGED_BY_RESUME)} | {"description"}
    if before.get("data.tokenizer") is None:  # begun by a version that trained it always; its digest is compared
        free |= {"data.tokenizer", "data.vocabulary"} if now.get("data.tokenizer") != TRAIN else {"data.tokenizer"}
    for key in sorted({*before, *now} - free):
        if before.get(key) != now.get(key):
            raise UserError(
                f"--resume: {key} is {now.get(key)!r} here, but the search {folder.name} was started with "
                f"{before.get(key)!r}; leave the settings out to go on with it, or give another --name"
            )
