"""The comparison with other tools: everybody does the same work, or it is not compared."""

from __future__ import annotations

import importlib.util
import json

import pytest

from benchmarks.peers import __main__ as peers
from benchmarks.peers import ours, with_trainer
from palenka_tune.errors import PalenkaError

INSTALLED = [entry for entry in peers.peers() if not entry.needs or importlib.util.find_spec(entry.needs)]


def test_has_a_pulse(tmp_path, capsys, monkeypatch):
    """With the peers that are installed: at least the product's own four."""
    monkeypatch.setattr(peers, "peers", lambda: INSTALLED)
    monkeypatch.setattr(peers, "_peak", lambda *args: 2**20)  # a process each
    monkeypatch.setattr(peers, "_verdicts", lambda figures: [])  # needs a peer
    out = tmp_path / "found.json"
    argv = ["--divisor", "16", "--steps", "1", "--rounds", "1", "--batch", "2", "--kinds", "deep"]
    assert peers.main([*argv, "--precisions", "float32", "--json", str(out)]) == 0
    found = json.loads(out.read_text())
    names = [row[0] for row in found["rows"]]
    assert "deep, float32: palenka_tune, exact cache" in names
    assert len(names) == len([entry for entry in INSTALLED if "deep" in entry.kinds])
    first = found["details"]["first_losses"]
    exact = first["deep, float32: palenka_tune, exact cache"]
    assert first["deep, float32: palenka_tune, teachers online"] == pytest.approx(exact, rel=1e-3)


def test_another_loss_is_not_the_same_work():
    same = {"logits, float32: a": 1.0, "logits, float32: b": 1.01, "deep, float32: a": 9.0}
    peers._check_first({**same, "logits, float32: palenka_tune, plain CE": 5.0})
    with pytest.raises(PalenkaError, match=r"logits, float32: \{'c': 1.2\} is another loss"):
        peers._check_first({**same, "logits, float32: c": 1.2})


def test_the_best_peer_is_named_whoever_wins():
    figures = {
        f"deep, float32: {peers.OURS}, exact cache": [30.0],
        f"deep, float32: {peers.OURS}, sampled cache": [40.0],
        f"deep, float32: {peers.OURS}, teachers online": [8.0],
        "deep, float32: torchdistill": [10.0],
        "deep, float32: transformers.Trainer": [5.0],
    }
    (line,) = peers._verdicts(figures)
    assert line.startswith("deep, float32: the best peer is torchdistill; ours is faster by exact cache 3 (3 to 3)")
    assert line.endswith("teachers online 0.8 (0.8 to 0.8)")


def test_lines_are_those_of_code():
    assert 40 < peers._lines(with_trainer) < 90
    assert peers._lines(ours) > 30
