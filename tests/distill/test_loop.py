"""The training loop: plain training bit for bit, exact resume, batches that no worker count changes."""

from __future__ import annotations

import functools

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from palenka_tune.distill import loop as loops
from palenka_tune.distill.loop import DivergedError, TrainingLoop, World, load_checkpoint, lr_factor, save_checkpoint
from palenka_tune.distill.settings import DistillSettings, ProjectionSettings
from palenka_tune.errors import PalenkaError
from tests.support.tiny_lm import PAD, STUDENT, TinyLM, windows


def weights(model: nn.Module) -> torch.Tensor:
    return torch.cat([p.detach().flatten() for p in model.parameters()])


@pytest.mark.parametrize(
    ("device", "multiplies", "expected"),
    [
        ("cpu", True, torch.bfloat16),
        ("cpu", False, torch.float32),
        ("cuda", True, torch.bfloat16),
        ("cuda", False, torch.float16),
    ],
)
def test_auto_is_bfloat16_where_the_device_has_it(device, multiplies, expected, monkeypatch):
    monkeypatch.setattr(loops, "multiplies_bfloat16", lambda device: multiplies)
    assert loops.resolve_precision("auto", torch.device(device)) is expected
    assert loops.resolve_precision("float32", torch.device(device)) is torch.float32


def test_alpha_and_beta_zero_is_plain_training(make_loop):
    """An independent loop in plain torch is the reference, up to rounding; the plain objective bit for bit."""
    loop = make_loop(DistillSettings(alpha=0, beta=0))
    model = TinyLM(STUDENT.width, STUDENT.depth, seed=5)
    matrices = [p for p in model.parameters() if p.dim() >= 2]
    vectors = [p for p in model.parameters() if p.dim() < 2]
    optimizer = torch.optim.AdamW(
        [{"params": matrices, "weight_decay": 0.1}, {"params": vectors, "weight_decay": 0.0}],
        lr=1e-2,
        betas=(0.9, 0.98),
        fused=True,
    )
    data = windows(96, 2)
    for step in range(12):
        for group in optimizer.param_groups:
            group["lr"] = 1e-2 * lr_factor(step, 2, 12)
        tokens = data[loop.batch_index(step)]
        logits = model(tokens).logits[:, :-1].flatten(0, 1)
        F.cross_entropy(logits, tokens[:, 1:].flatten(), ignore_index=PAD).backward()
        nn.utils.clip_grad_norm_(list(model.parameters()), 1.0)
        optimizer.step()
        optimizer.zero_grad()
    loop.run_until(12)
    torch.testing.assert_close(weights(loop.model), weights(model), rtol=1e-4, atol=1e-5)
    plain = make_loop(None)
    plain.run_until(12)
    assert torch.equal(weights(loop.model), weights(plain.model))


@pytest.mark.parametrize(
    "settings",
    [
        DistillSettings(alpha=0, beta=0),
        DistillSettings(alpha=1, beta=3, projection=ProjectionSettings(rank=8), beta_schedule="cosine_decay"),
        DistillSettings(alpha=1, beta=1, projection=ProjectionSettings(kind="orthogonal")),
        DistillSettings(beta=1, projection=ProjectionSettings(direction="teacher_to_student", kind="mlp")),
    ],
)
@pytest.mark.parametrize("precision", ["float32", "bfloat16"])
def test_stop_and_resume_gives_the_same_losses_as_no_stop(make_loop, settings, precision, tmp_path):
    make_loop = functools.partial(make_loop, precision=precision)
    whole = make_loop(settings)
    whole.run_until(5)
    expected = whole.run_until(12)[-1].terms
    first = make_loop(settings)
    first.run_until(5)
    save_checkpoint(first.state_dict(), tmp_path / "checkpoint.pt")
    second = make_loop(settings)
    second.load_state_dict(load_checkpoint(tmp_path / "checkpoint.pt"))
    assert second.run_until(12)[-1].terms == expected
    assert torch.equal(weights(second.model), weights(whole.model))
    assert second.validate() == whole.validate()


def test_an_average_of_the_weights_is_measured_and_kept_without_changing_the_training(make_loop, tmp_path):
    whole, plain = make_loop(averaging=True, steps=40), make_loop(steps=40)
    whole.run_until(30)
    plain.run_until(30)
    assert whole.validate(averaged=True) != whole.validate() == plain.validate()
    save_checkpoint(whole.state_dict(), tmp_path / "checkpoint.pt")
    resumed = make_loop(averaging=True, steps=40)
    resumed.load_state_dict(load_checkpoint(tmp_path / "checkpoint.pt"))
    for loop in (whole, plain, resumed):
        loop.run_until(40)
    assert torch.equal(weights(whole.model), weights(plain.model))
    assert resumed.validate(averaged=True) == whole.validate(averaged=True)


def test_a_checkpoint_of_another_length_is_refused(make_loop):
    with pytest.raises(PalenkaError, match="12 steps"):
        make_loop(steps=10).load_state_dict(make_loop(steps=12).state_dict())


def test_epochs_see_each_window_once_and_batches_are_full(make_loop):
    loop = make_loop(batch_size=40)
    seen = torch.cat([loop.batch_index(step) for step in range(12)])
    assert [len(loop.batch_index(step)) for step in range(12)] == [40] * 12
    for epoch in range(5):
        assert torch.equal(seen[epoch * 96 : (epoch + 1) * 96].sort().values, torch.arange(96))
    assert not torch.equal(seen[:96], seen[96:192])


def shifted_loop(make_loop, copies: int = 3, **recipe):
    """The loop of 96 windows as `copies` copies of 96 / copies windows each."""
    loop = make_loop(**recipe)
    again = TrainingLoop(
        loop.model, loop.objective, loop.train, loop.dev, loop.recipe, pad_id=PAD, seed=loop.seed, copies=copies,
        **({"total_steps": recipe["steps"]} if "steps" in recipe else {}),
    )  # fmt: skip
    assert again.epoch_windows == 96 // copies
    return again


def test_each_epoch_takes_the_next_copy_of_the_text(make_loop):
    """24 windows a copy, 8 a batch: three steps an epoch, and every window of a copy once in it."""
    loop = shifted_loop(make_loop, copies=4)
    epochs = [torch.cat([loop.batch_index(3 * epoch + step) for step in range(3)]) for epoch in range(6)]
    for epoch, seen in enumerate(epochs):
        first = 24 * (epoch % 4)
        assert torch.equal(seen.sort().values, torch.arange(first, first + 24))
    assert not torch.equal(epochs[4], epochs[0])  # the first copy again, in another order
    assert not torch.equal(epochs[1] - 24, epochs[0])


def test_a_batch_over_the_end_of_an_epoch_goes_on_in_the_next_copy(make_loop):
    """32 windows a copy, 20 a batch: the second batch ends one copy and begins the next."""
    index = shifted_loop(make_loop, batch_size=20).batch_index(1)
    assert len(index) == 20
    assert (index[:12] < 32).all()
    assert ((index[12:] >= 32) & (index[12:] < 64)).all()


def test_an_epoch_of_copies_is_one_reading_of_the_text(make_loop):
    assert shifted_loop(make_loop, epochs=3).total_steps == 3 * 32 // 8
    assert shifted_loop(make_loop, copies=1, epochs=3).total_steps == 3 * 96 // 8


def test_copies_do_not_change_what_a_resumed_loop_sees(make_loop):
    first, second = shifted_loop(make_loop, steps=12), shifted_loop(make_loop, steps=12)
    forward = [first.batch_index(step) for step in range(12)]
    assert all(torch.equal(second.batch_index(step), forward[step]) for step in reversed(range(12)))


@pytest.mark.parametrize("accumulate", [1, 2, 4])
def test_accumulation_changes_the_gradient_by_rounding_only(make_loop, accumulate):
    one, many = make_loop(), make_loop(accumulate=accumulate)
    one.run_until(6)
    many.run_until(6)
    assert torch.allclose(weights(one.model), weights(many.model), atol=1e-5)


def test_two_ranks_split_a_batch_and_their_mean_gradient_is_that_of_one(make_loop):
    """What DDP averages: the gradients of both ranks, padded windows included."""
    one = make_loop(lr=0.0)
    index = torch.tensor([95, 1, 2, 3, 4, 5, 6, 7])  # window 95 is half padding
    gradients = []
    for world in (World(0, 1), World(0, 2), World(1, 2)):
        loop = make_loop(lr=0.0)
        loop.world = world
        loop.batch_index = lambda step: index
        loop.optimizer.step = lambda: None
        loop.optimizer.zero_grad = lambda set_to_none=True: None
        loop.recipe = one.recipe.__class__(**{**one.recipe.__dict__, "grad_clip": 1e9})
        loop.run_until(1)
        gradients.append(torch.cat([p.grad.flatten() for p in loop.model.parameters()]))
    assert torch.allclose(gradients[0], (gradients[1] + gradients[2]) / 2, atol=1e-6)


def test_a_loss_that_is_not_finite_raises(make_loop):
    loop = make_loop()
    with torch.no_grad():
        loop.model.head.bias[0] = float("nan")
    with pytest.raises(DivergedError, match="nan"):
        loop.run_until(12)


def test_validation_weighs_each_target_the_same(make_loop):
    loop = make_loop()
    data = windows(24, 3)
    logits = loop.model(data).logits[:, :-1].flatten(0, 1)
    expected = F.cross_entropy(logits.detach().double(), data[:, 1:].flatten(), ignore_index=PAD)
    for batch_size in (1, 5, 64):
        assert loop.validate(batch_size)["val_ce"] == pytest.approx(float(expected), rel=1e-6)
