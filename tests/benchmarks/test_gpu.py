"""The GPU benchmark on the CPU at toy sizes: what its kept signals say is what the teachers say, and it runs."""

from __future__ import annotations

import json

import pytest
import torch

from benchmarks import gpu
from benchmarks.gpu import Bench, Plan, TeachersOnline
from benchmarks.sizes import poster_sizes
from palenka_tune.commands.options import run
from palenka_tune.data.tokenizer import PAD_ID
from palenka_tune.distill.objective import DistillationObjective
from palenka_tune.distill.signals import SignalRequest, WindowBatch
from palenka_tune.distill.targets import LogitRequest
from palenka_tune.errors import PalenkaError
from palenka_tune.spaces.experiment import shape_of

CPU = torch.device("cpu")


@pytest.fixture(scope="module")
def bench() -> Bench:
    return Bench(Plan(poster_sizes(64), batch=2, steps=1, count=6, device=CPU))


def terms(bench, source):
    sizes = bench.plan.sizes
    student = sizes.build(sizes.student, seed=9)
    objective = DistillationObjective(
        bench.plan.settings, shape_of(sizes.student), source, total_steps=1, pad_id=PAD_ID, seed=0
    )
    index = torch.tensor([4, 1])
    return objective(student, WindowBatch("train", index, bench.windows_NT[index]), 0)


def test_kept_exact_signals_give_the_loss_of_running_teachers(bench):
    online = terms(bench, TeachersOnline(*bench._teaching(), fitted=bench.kept.statistics))
    exact = terms(bench, bench.kept.source("exact", CPU))
    assert exact.kl.item() == pytest.approx(online.kl.item(), rel=1e-3)
    assert exact.hidden.item() == pytest.approx(online.hidden.item(), rel=2e-3)


def test_kept_samples_estimate_the_kl(bench):
    exact = terms(bench, bench.kept.source("exact", CPU))
    sampled = terms(bench, bench.kept.source("sampled", CPU))
    assert sampled.hidden.item() == pytest.approx(exact.hidden.item(), rel=1e-5)
    assert sampled.kl.item() == pytest.approx(exact.kl.item(), abs=0.05)


def test_only_what_is_asked_for_is_given(bench):
    source = bench.kept.source("exact", CPU)
    index = torch.arange(2)
    batch = WindowBatch("train", index, bench.windows_NT[index])
    signal = source.signal(batch, SignalRequest(None, (frozenset(), frozenset({3}))))
    assert signal.targets is None
    assert signal.hidden[0] == {}
    assert {layer: tuple(state.shape) for layer, state in signal.hidden[1].items()} == {3: (2, 128, bench.plan.rank)}


def test_samples_answer_for_their_own_temperature_only(bench):
    source = bench.kept.source("sampled", CPU)
    batch = WindowBatch("train", torch.arange(1), bench.windows_NT[:1])
    with pytest.raises(PalenkaError, match="drawn for"):
        source.signal(batch, SignalRequest(LogitRequest((0.5, 0.5), 1.0), (frozenset(), frozenset())))


def test_has_a_pulse(tmp_path, capsys):
    pytest.importorskip("accelerate", reason="the Trainer needs accelerate, of the extra `bench`")
    out = tmp_path / "found.json"
    arguments = ["--device", "cpu", "--divisor", "64", "--batch", "1", "--steps", "1", "--rounds", "1"]
    assert gpu.main([*arguments, "--windows", "4", "--json", str(out)]) == 0
    found = json.loads(out.read_text())
    assert set(found["ratios"]) == {
        "cached_exact_vs_plain",
        "cached_sampled_vs_plain",
        "cached_exact_vs_online",
        "cached_exact_vs_poster_loop",
    }
    assert found["settings"]["precision"] in ("float32", "bfloat16")
    assert "not measured" in capsys.readouterr().out


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a CUDA device")
def test_without_a_gpu_it_says_so_in_one_sentence(capsys):
    assert run(gpu.main, []) == 2
    assert capsys.readouterr().err.startswith("error: this benchmark needs a CUDA device")


def test_sizes_keep_the_posters_proportions():
    from palenka_tune.models.scales import parameter_count

    def ratio(divisor: int) -> float:
        sizes = poster_sizes(divisor)
        counts = [parameter_count(p, sizes.vocabulary, sizes.window) for p in (sizes.student, *sizes.teachers)]
        return sum(counts[1:]) / counts[0]

    assert poster_sizes(1).student.name == "BabyLlama1-58M"
    assert ratio(1) == pytest.approx(18.3, abs=0.05)
    assert ratio(4) == pytest.approx(ratio(1), rel=0.005)
