"""What reaches the student: gradients, signals that are never asked for, and an objective nobody can game."""

from __future__ import annotations

import itertools

import pytest
import torch

from palenka_tune.distill.objective import DistillationObjective, PlainObjective
from palenka_tune.distill.projections import NORMALIZATIONS, PROJECTIONS
from palenka_tune.distill.settings import DistillSettings, ProjectionSettings
from palenka_tune.distill.signals import OnlineSource, SignalRequest, WindowBatch
from palenka_tune.distill.targets import LogitRequest
from palenka_tune.errors import UserError
from tests.support.tiny_lm import PAD, STUDENT, TEACHERS, WINDOW, TinyLM, windows


def batch():
    return WindowBatch("train", torch.arange(6), windows(6, 7))


def objective(source, settings: DistillSettings) -> DistillationObjective:
    return DistillationObjective(settings, STUDENT, source, total_steps=10, pad_id=PAD, seed=0)


def student() -> TinyLM:
    return TinyLM(STUDENT.width, STUDENT.depth, seed=5)


def test_beta_gives_gradient_to_student_and_projections_but_not_to_teachers(source):
    loss, model = objective(source, DistillSettings(alpha=0, beta=1)), student()
    (loss(model, batch(), 0).total - PlainObjective(PAD)(model, batch(), 0).total).backward()
    # the head is after the last hidden state: deep supervision cannot reach it, everything before it must be reached
    reached = {name for name, p in model.named_parameters() if p.grad is not None and p.grad.abs().sum() > 0}
    assert reached == {name for name, _ in model.named_parameters() if not name.startswith("head")}
    assert all(p.grad is not None and p.grad.abs().sum() > 0 for p in loss.parameters())
    assert all(p.grad is None for teacher in source.models for p in teacher.parameters())
    assert loss.parameter_groups(1e-3)[0]["params"]


@pytest.mark.parametrize(("alpha", "beta"), [(0, 0), (1, 0), (0, 1), (1, 1)])
def test_a_term_of_weight_zero_asks_for_no_signal(source, alpha, beta):
    loss = objective(source, DistillSettings(alpha=alpha, beta=beta))
    request = loss.request(alpha, beta)
    assert (request.logits is not None) == (alpha > 0)
    assert request.layers == tuple(frozenset(layer_map) if beta else frozenset() for layer_map in loss.maps)
    for teacher in source.models:
        teacher.calls.clear()
    signals, original = [], source.signal
    source.signal = lambda *given: signals.append(original(*given)) or signals[-1]
    loss(student(), batch(), 0)
    assert len(signals) == (alpha + beta > 0)
    # one forward a teacher, and never the logits of a whole batch
    expected = [{"hidden": True, "positions": [batch().tokens.shape[1] - 1]}] if signals else []
    assert all(teacher.calls == expected for teacher in source.models)
    for signal in signals:
        assert (signal.targets is not None) == (alpha > 0)
        assert [set(states) for states in signal.hidden] == [set(layers) for layers in request.layers]


def test_a_teacher_that_caps_its_logits_is_asked_for_them(source):
    """Its head alone would give other logits."""
    capped = TinyLM(TEACHERS[0].width, TEACHERS[0].depth, seed=10)
    plain = capped.forward

    def forward(*given, **named):
        out = plain(*given, **named)
        out.logits = 2.0 * torch.tanh(out.logits / 2.0)
        return out

    capped.forward = forward
    first = OnlineSource([capped], TEACHERS[:1], windows(8, 1), PAD)
    request = SignalRequest(LogitRequest((1.0,), 1.0), (frozenset(),))
    targets = first.signal(batch(), request).targets
    found = targets.log_probs(slice(0, 6 * WINDOW))
    expected = torch.log_softmax(capped(batch().tokens).logits, -1).flatten(0, 1)
    torch.testing.assert_close(found, expected.detach())


COMBINATIONS = list(
    itertools.product(
        PROJECTIONS, ("student_to_teacher", "teacher_to_student", "toward_larger"), NORMALIZATIONS, (None, 8)
    )
)


@pytest.mark.parametrize(("kind", "direction", "normalize", "rank"), COMBINATIONS)
def test_every_projection_learns_or_is_refused(source, kind, direction, normalize, rank):
    settings = ProjectionSettings(direction=direction, kind=kind, normalize=normalize, rank=rank, layer_map="uniform")
    if kind == "identity" and rank != STUDENT.width:
        with pytest.raises(UserError, match="equal widths"):
            objective(source, DistillSettings(projection=settings))
        return
    loss, model = objective(source, DistillSettings(alpha=0, beta=1, projection=settings)), student()
    terms = loss(model, batch(), 0)
    assert torch.isfinite(terms.total)
    assert float(terms.hidden) > 0
    terms.total.backward()
    assert all(p.grad is not None and torch.isfinite(p.grad).all() for p in model.parameters())
    assert (terms.target_std is not None) == (direction == "teacher_to_student")


def test_sharing_per_teacher_has_one_projection_per_teacher(source):
    each = objective(source, DistillSettings(projection=ProjectionSettings(sharing="per_pair")))
    shared = objective(source, DistillSettings(projection=ProjectionSettings(sharing="per_teacher")))
    count = {name: len({id(p) for p in loss.parameters()}) for name, loss in (("each", each), ("shared", shared))}
    assert count == {"each": 2 * (STUDENT.depth + 1) * len(TEACHERS), "shared": 2 * len(TEACHERS)}


def test_hidden_term_is_the_mean_over_teachers_of_means_over_pairs(source):
    settings = ProjectionSettings(kind="linear", normalize="layer_norm", layer_map="uniform")
    loss, model = objective(source, DistillSettings(alpha=0, beta=1, projection=settings)), student()
    data = batch()
    terms = loss(model, data, 0)
    states = model(data.tokens, output_hidden_states=True).hidden_states
    mask = (data.tokens != PAD).double()
    per_teacher = []
    for number, teacher in enumerate(source.models):
        targets = teacher(data.tokens, output_hidden_states=True).hidden_states
        pairs = []
        for teacher_layer, student_layer in loss.maps[number].items():
            linear = loss.pairs[f"{number}:{teacher_layer}:{student_layer}"].projection
            p = states[student_layer].double() @ linear.weight.double().T + linear.bias.double()
            h = targets[teacher_layer].double()
            h = (h - h.mean(-1, keepdim=True)) / (h.var(-1, unbiased=False, keepdim=True) + 1e-5).sqrt()
            pairs.append((((p - h) ** 2).mean(-1) * mask).sum() / mask.sum())
        per_teacher.append(torch.stack(pairs).mean())
    assert float(terms.hidden) == pytest.approx(float(torch.stack(per_teacher).mean()), rel=1e-5)


def test_with_learning_rate_zero_no_setting_changes_val_ce_but_each_changes_val_total(make_loop):
    measured = []
    for alpha, beta, tau in itertools.product((0.0, 1.0, 5.0), (0.0, 10.0), (1.0, 4.0)):
        loop = make_loop(DistillSettings(alpha=alpha, beta=beta, temperature=tau), lr=0.0)
        loop.run_until(4)
        measured.append(loop.validate())
    assert len({values["val_ce"] for values in measured}) == 1
    assert len({round(values["val_total"], 6) for values in measured}) > 6


def test_beta_changes_the_student_and_leaves_the_teachers_alone(make_loop, source):
    before = [p.clone() for teacher in source.models for p in teacher.parameters()]
    weights = {}
    for beta in (0.0, 1.0):
        loop = make_loop(DistillSettings(alpha=1, beta=beta))
        loop.run_until(12)
        weights[beta] = torch.cat([p.detach().flatten() for p in loop.model.parameters()])
    assert not torch.equal(weights[0.0], weights[1.0])
    after = [p for teacher in source.models for p in teacher.parameters()]
    assert all(torch.equal(old, new) for old, new in zip(before, after, strict=True))


def test_without_a_hidden_gradient_beta_changes_no_bit_of_the_student_and_the_total_is_a_line_in_it(make_loop):
    """The poster's fault, kept for comparison."""
    weights, totals, spent = {}, {}, {}
    for beta in (0.1, 0.3, 0.5):
        loop = make_loop(DistillSettings(alpha=0.1, beta=beta, hidden_gradient=False, kl_reduction="sequence"))
        loop.run_until(12)
        weights[beta] = torch.cat([p.detach().flatten() for p in loop.model.parameters()])
        measured = loop.validate()
        totals[beta], spent[beta] = measured["val_total"], measured["val_hidden"]
        projections = list(loop.objective.parameters())
        assert projections
        owned = {id(p) for group in loop.optimizer.param_groups for p in group["params"]}
        assert not any(id(p) in owned for p in projections)
    assert torch.equal(weights[0.1], weights[0.3])
    assert torch.equal(weights[0.1], weights[0.5])
    assert len(set(spent.values())) == 1
    slope = spent[0.1]
    assert slope > 0
    assert totals[0.3] - totals[0.1] == pytest.approx(0.2 * slope, rel=1e-4)
    assert totals[0.5] - totals[0.1] == pytest.approx(0.4 * slope, rel=1e-4)


def test_half_of_each_term_is_half_of_the_loss_of_equal_weights(make_loop):
    half, whole = (
        make_loop(DistillSettings(alpha=weight, beta=0, ce_weight=weight)).validate() for weight in (0.5, 1.0)
    )
    assert half["val_ce"] == whole["val_ce"]
    assert half["val_total"] == pytest.approx(0.5 * whole["val_total"], rel=1e-6)


def test_a_loss_that_teaches_nothing_is_refused():
    for settings in ({"beta": 0}, {"beta": 1, "hidden_gradient": False}):
        with pytest.raises(UserError, match="leave nothing that a student could learn from"):
            DistillSettings(alpha=0, ce_weight=0, **settings)
