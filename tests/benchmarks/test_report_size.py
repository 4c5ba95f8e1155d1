"""The benchmark of a report's size: it has a pulse."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from benchmarks import report_size


def test_has_a_pulse(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setattr(report_size, "opening", lambda path, rounds: {"open, until its text (s)": 1.0})
    monkeypatch.setattr(report_size, "write_report", report_size.write_html)  # pictures have tests of their own
    file = tmp_path / "found.json"
    assert report_size.main(["--trials", "12", "--rounds", "1", "--json", str(file)]) == 0
    found = json.loads(file.read_text())["details"]["medians"]
    assert 3 < found["page (MB)"] < 10
    assert "a report of 12 trials" in capsys.readouterr().out
