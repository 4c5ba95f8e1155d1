"""A search that is stopped before its trials says how to go on."""

from __future__ import annotations

from types import SimpleNamespace

import pytest

from palenka_tune.cluster.stop import Interrupted
from palenka_tune.search import launch


def test_whatever_ray_makes_of_a_signal_the_search_says_how_to_go_on(tmp_path, monkeypatch) -> None:
    def stopped(*_):
        raise KeyboardInterrupt  # as Ray's core does while it waits for the teachers

    ended = []
    tracker = SimpleNamespace(end_run=lambda run, status: ended.append(status), close=ended.append)
    context = SimpleNamespace(folder=tmp_path / "mine", tracker=tracker)
    place = {"--concurrent": 2}
    options = SimpleNamespace(storage=str(tmp_path), place=place, register=None)
    study = SimpleNamespace(user_attrs={launch.PLACE: place})
    monkeypatch.setattr(launch, "run_stages", stopped)
    with pytest.raises(Interrupted) as error:
        launch._tracked(None, options, context, study)  # type: ignore[arg-type]
    command = f"python -m palenka_tune.search --resume --name mine --storage {tmp_path} --concurrent 2"
    assert error.value.hint == f"go on with: {command}"
    assert ended == ["KILLED", 5.0]
