"""The memory benchmark at toy sizes: both contenders compute the same, and the peak is that of the loss."""

from __future__ import annotations

import json
import mmap
from pathlib import Path

import pytest
import torch

from benchmarks import loss_memory
from benchmarks.loss_memory import CONTENDERS, Inputs, LossSizes, PeakMemory
from palenka_tune.errors import PalenkaError

TOY = LossSizes(vocabulary=300, batch=2, window=8, student_width=12, teacher_widths=(24, 16))
CPU = torch.device("cpu")
needs_proc = pytest.mark.skipif(
    not Path("/proc/self/clear_refs").exists(), reason="the peak memory of a process can be reset on Linux only"
)


def test_contenders_agree_in_loss_and_gradient():
    results = []
    for contender in CONTENDERS.values():
        inputs = Inputs.random(TOY, CPU)
        total = contender(inputs)
        total.backward()
        results.append((total.detach(), inputs.hidden_BTD.grad, inputs.head.weight.grad))
    for ours, theirs in zip(*results, strict=True):
        torch.testing.assert_close(ours, theirs, rtol=1e-4, atol=1e-6)


def test_inputs_are_counted_to_the_byte():
    positions, widths = 2 * 8, 12 + 24 + 16
    expected = 8 * positions + 4 * 12 * positions + 2 * (24 + 16) * positions + 4 * 300 * widths
    assert Inputs.random(TOY, CPU).bytes == expected


@needs_proc
def test_peak_sees_memory_that_is_freed_again():
    peak = PeakMemory(CPU)
    with mmap.mmap(-1, 64 << 20) as pages:  # a tensor may take pages that the process has kept
        for _ in range(64):
            pages.write(bytes(1 << 20))
    first = peak.bytes()
    assert (60 << 20) < first < (80 << 20)
    assert PeakMemory(CPU).bytes() < (10 << 20)  # the earlier peak is forgotten


@needs_proc
def test_has_a_pulse(tmp_path, capsys):
    out = tmp_path / "found.json"
    arguments = ["--rounds", "1", "--vocabulary", "4000", "--batch", "8", "--window", "64", "--device", "cpu"]
    assert loss_memory.main([*arguments, "--json", str(out)]) == 0
    found = json.loads(out.read_text())
    assert 0 < found["ratios"]["chunked_vs_plain"] < 1
    assert found["details"]["input_bytes"] == Inputs.random(LossSizes(4000, 8, 64), CPU).bytes
    assert "left out of both" in capsys.readouterr().out


def test_a_measurement_that_dies_is_told():
    with pytest.raises(PalenkaError, match="measurement of nothing failed: KeyError"):
        loss_memory.measure("nothing", TOY)
