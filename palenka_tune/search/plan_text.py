"""What a search is going to do, in words for a person and in `search.yaml` for a machine."""

from __future__ import annotations

from pathlib import Path

from palenka_tune.models.given import hub_name
from palenka_tune.models.presets import get_preset
from palenka_tune.models.scales import parameter_count
from palenka_tune.models.source import source_of
from palenka_tune.models.weights import weight_files
from palenka_tune.runs import known_headroom
from palenka_tune.spaces.poster_method import units
from palenka_tune.spaces.settings import SearchConfig
from palenka_tune.teachers.spec import open_teacher, plain_shape
from palenka_tune.trials.arms import LEARNS_FROM, arms_of, never_paused
from palenka_tune.trials.stopping import stopping_text
from palenka_tune.words import plural


def _given(preset: str) -> str:
    """A teacher that exists, once its folder is known."""
    if source_of(preset).kind != "folder":
        return f"{preset} (given)"
    folder = Path(preset).expanduser()
    shape = plain_shape(folder)
    size = f"{shape.family}, d {shape.width}, {plural(shape.depth, 'layer')}"
    if hub_name(folder) is None or weight_files(folder):  # of a model of the hub they come with the search
        size += f"; {open_teacher(folder).parameters:,} parameters"
    return f"{shape.name} (given): {size}; {folder}"


def _startup(count: int, trials: int, sampler: str) -> str:
    """Which of the trials are neither proposed by what the sampler has seen nor paused."""
    kinds = "fixed settings and random start-up points, trained to their ends"
    if count == trials:
        return f"all of them are {kinds}; {sampler} proposes trials only where there are more samples"
    return f"the first of each arm, {count} in all, are {kinds}; {sampler} proposes the others"


def plan(config: SearchConfig, storage: Path) -> str:
    """What will be run, as a person would want to check it: models, data, space, and what earlier searches in the
    folder `storage` found of its headroom."""
    experiment = config.experiment
    data = experiment.data
    vocabulary, window = data.vocabulary, data.window
    lines = [
        f"search {config.space_name}: {config.description}" if config.description else f"search {config.space_name}"
    ]
    made = (
        f"the tokenizer of {data.tokenizer}, {vocabulary:,} ids"
        if data.is_given
        else f"vocabulary up to {vocabulary:,}"
    )
    lines.append(f"  data      {data.source}, a {data.unit} a text, {made}, windows of {window} tokens")
    roles = [("student", experiment.student.architecture, experiment.recipe)]
    roles += [("teacher", get_preset(each.preset), each.recipe) for each in experiment.teachers if not each.is_given]
    for role, preset, recipe in roles:
        count = parameter_count(preset, vocabulary, window)
        lines.append(
            f"  {role:<9} {preset.name}: {preset.architecture}; {count:,} parameters; lr {recipe.lr:g}, "
            f"batch {recipe.batch_size}, {recipe.epochs:g} epoch{'' if recipe.epochs == 1 else 's'}"
        )
    lines += [f"  teacher   {_given(teacher.preset)}" for teacher in experiment.teachers if teacher.is_given]
    if experiment.teachers:
        kept = "run on every batch" if experiment.cache.form == "online" else f"run once, cache {experiment.cache.form}"
        lines.append(f"  teachers  {kept}")
    known, _ = known_headroom.sentences(config, storage)
    lines += [f"  {'headroom' if sentence is known[0] else '':<9} {sentence}" for sentence in known]
    search = config.search
    stopping = stopping_text(search.stopping, search.rungs, search.reduction) or "no early stopping"
    arms = arms_of(config)
    trials = {arm.name: arm.trials for arm in arms}
    counts = ", ".join(f"{name} {count}" for name, count in trials.items())
    lines.append(f"  trials    {counts}, by {search.sampler}; {stopping}; seed {experiment.seed}")
    if search.sampler != "grid" and config.space.parameters:
        lines.append(
            f"  start-up  {_startup(never_paused(arms, search.sampler), sum(trials.values()), search.sampler)}"
        )
    learns = ", ".join(f"{arm.name} from {LEARNS_FROM[arm.name]}" for arm in arms)
    lines.append(f"  arms      {learns}; each is searched by itself")
    for arm in arms:
        if trials[arm.name] < arm.samples + arm.has_fixed:
            held = trials[arm.name] - arm.has_fixed
            lines.append(
                f"  fewer     {arm.name} gets {held:,} of its {arm.samples:,} samples: its space holds no more"
            )
    student = experiment.student
    on_a_part = student.train_windows is not None or student.train_fraction < 1
    if on_a_part:
        lines.append(
            "  subset    a trial trains on a part of the text only (student.train_windows or student.train_fraction): "
            "the best there need not be the best on all of it"
        )
    if search.seeds:
        where = ", on all of the text and so of the teachers' outputs" if on_a_part else ""
        lines.append(
            f"  then      the best of each arm again{where}, with {search.seeds} fresh seeds each (--seeds 0: not)"
        )
    if search.objective != "val_ce":
        lines.append(f"  objective {search.objective}, which contains the searched weights, as the poster's did")
    if not experiment.distill.hidden_gradient:
        lines.append("  hidden    evaluated without a gradient, as the poster's was: beta cannot change a student")
    if experiment.distill.kl_reduction == "sequence":
        lines.append(f"  units     {units(experiment.distill.alpha or 1.0, 'sequence', window)}")
    for parameter in config.space.parameters:
        values = (
            list(parameter.choices)
            if parameter.kind == "choice"
            else f"{parameter.kind} [{parameter.low:g}, {parameter.high:g}]"
        )
        when = "".join(f", if {name} in {list(allowed)}" for name, allowed in parameter.when.items())
        lines.append(f"    {parameter.name:<24} {values}{when}")
    return "\n".join(lines)
