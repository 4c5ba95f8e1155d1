"""Teachers as runs of a search."""

from types import SimpleNamespace

from palenka_tune.search.mlflow.teachers import TeacherRuns
from tests.support.recorder import Recorder


def test_two_teachers_of_one_preset_have_names_of_their_own():
    tracker = Recorder()
    runs = TeacherRuns(tracker, SimpleNamespace(teachers=()), {})
    for folder in ("GPT2-tiny-0123", "GPT2-tiny-4567", "GPT2-tiny-0123", "Llama-tiny-89ab"):
        runs(folder, {"val_ce": 5.0}, 100)
    names = [started["name"] for _, started in tracker.all("start_run")]
    assert names == ["teacher GPT2-tiny", "teacher GPT2-tiny (2)", "teacher Llama-tiny"]
