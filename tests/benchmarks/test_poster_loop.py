"""The poster's loop at toy sizes: its loss is the formula, its hidden term has no gradient, and it trains silently."""

from __future__ import annotations

import pytest
import torch

from benchmarks.poster_loop import poster_throughput, poster_trainer
from benchmarks.sizes import poster_sizes
from palenka_tune.distill.heads import head_of, states_of
from palenka_tune.distill.losses import logit_loss
from palenka_tune.distill.signals import OnlineSource, SignalRequest, WindowBatch
from palenka_tune.distill.targets import LogitRequest

pytest.importorskip("accelerate", reason="the Trainer needs accelerate, of the extra `bench`")

SIZES = poster_sizes(64)
PAD = 0


@pytest.fixture
def models():
    student, *teachers = (SIZES.build(preset, seed=i) for i, preset in enumerate((SIZES.student, *SIZES.teachers)))
    return student, teachers


@pytest.fixture
def windows():
    made = SIZES.windows(4, seed=0)[:, :16].clone()
    made[-1, 9:] = PAD
    return made


def loss_and_gradient(student, trainer, windows):
    batch = [trainer.train_dataset[number] for number in range(len(windows))]
    inputs = {name: torch.stack([window[name] for window in batch]) for name in batch[0]}
    loss = trainer.compute_loss(student, inputs)
    student.zero_grad()
    loss.backward()
    return loss.item(), torch.cat([p.grad.flatten() for p in student.parameters()])


def test_logit_loss_is_the_products_in_the_posters_units(models, windows, tmp_path):
    student, teachers = models
    # without padding: the poster's KL counts padded positions, the product's does not
    windows = windows[:-1]
    trainer = poster_trainer(student, teachers, windows, 3, 1, str(tmp_path), alpha=0.3, beta=0.0)
    loss, _ = loss_and_gradient(student, trainer, windows)

    source = OnlineSource(teachers, [], windows, PAD)
    request = SignalRequest(LogitRequest((0.5, 0.5), 2.0), (frozenset(), frozenset()))
    targets = source.signal(WindowBatch("train", torch.arange(3), windows), request).targets
    states, _ = states_of(student, windows)
    ours = logit_loss(
        states[-1], head_of(student), windows, PAD, targets, alpha=0.3, temperature=2.0, reduction="sequence"
    )
    assert loss == pytest.approx(ours.total.item(), rel=1e-5)


def test_hidden_term_counts_but_has_no_gradient_as_published(models, windows, tmp_path):
    student, teachers = models
    results = [
        loss_and_gradient(
            student, poster_trainer(student, teachers, windows, 4, 1, str(tmp_path), beta=beta, pad_id=PAD), windows
        )
        for beta in (0.0, 10.0)
    ]
    assert results[1][0] > results[0][0] + 1e-3
    assert torch.equal(results[0][1], results[1][1])


def test_optimiser_owns_the_student_alone(models, windows, tmp_path):
    student, teachers = models
    trainer = poster_trainer(student, teachers, windows, 4, 1, str(tmp_path))
    trainer.create_optimizer()
    owned = {id(p) for group in trainer.optimizer.param_groups for p in group["params"]}
    assert owned == {id(p) for p in student.parameters()}
    assert [len(projections) for projections in trainer.projections] == [9, 9]  # the poster's nine pairs per teacher
    assert not any(p.requires_grad for teacher in trainer.teachers for p in teacher.parameters())


def test_has_a_pulse(models, windows, capfd):
    student, teachers = models
    before = student.get_output_embeddings().weight.detach().clone()
    assert poster_throughput(student, teachers, windows, batch_size=2, steps=3, pad_id=PAD) > 0
    assert not torch.equal(before, student.get_output_embeddings().weight)
    captured = capfd.readouterr()
    assert captured.out == ""
    assert captured.err == ""
