import json
from pathlib import Path

import pytest

from palenka_tune.teachers import progress
from palenka_tune.teachers.progress import ProgressFollower


def record(step: int) -> str:
    return json.dumps(
        {
            "kind": "train",
            "step": step,
            "tokens": step * 100,
            "lr": 0.1,
            "tokens_per_second": 5000.4,
            "loss": 3.25,
            "seconds_left": 75,
            "epoch": 1,
            "epochs": 2,
            "total_steps": 60,
        }
    )


EPOCH = json.dumps({"kind": "epoch", "epoch": 1, "epochs": 2, "tokens": 3000, "val_ce": 2.0, "val_ppl": 7.389})


def test_records_become_lines_and_metrics(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, logged) -> None:
    monkeypatch.setattr(progress, "LOG_SECONDS", 0.0)
    (tmp_path / "progress.jsonl").write_text(record(1) + "\n")  # of an earlier command
    metrics: list[tuple[str, dict[str, float], int]] = []
    follower = ProgressFollower("A-1", "A", tmp_path, lambda *args: metrics.append(args))
    follower.poll()
    assert (logged, metrics) == ([], [])
    with (tmp_path / "progress.jsonl").open("a") as file:
        file.write(record(20) + "\n" + EPOCH + "\n" + record(40)[:30])  # caught in the writing
        file.flush()
        follower.poll()
        assert logged == [
            "teacher A: epoch 1 of 2, step 20 of 60, loss 3.250, 5,000 tokens/s, 75 s left",
            "teacher A: epoch 1 of 2 done, dev CE 2.0000 (perplexity 7.4)",
        ]
        assert metrics == [
            ("A-1", {"train/ce": 3.25, "train/tokens_per_second": 5000.4}, 2000),
            ("A-1", {"val_ce": 2.0, "val_ppl": 7.389}, 3000),
        ]
        file.write(record(40)[30:] + "\n")
        file.flush()
    follower.poll()
    assert [step for _, _, step in metrics] == [2000, 3000, 4000]


def test_records_in_between_are_not_logged(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, logged) -> None:
    monkeypatch.setattr(progress, "LOG_SECONDS", 1e9)
    follower = ProgressFollower("A-1", "A", tmp_path, None)
    follower.poll()  # nothing is there yet
    (tmp_path / "progress.jsonl").write_text("\n".join([*map(record, range(20, 60, 20)), EPOCH]) + "\n")
    follower.poll()
    assert logged == ["teacher A: epoch 1 of 2 done, dev CE 2.0000 (perplexity 7.4)"]
