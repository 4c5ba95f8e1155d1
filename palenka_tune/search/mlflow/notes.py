"""Descriptions of runs in MLflow, in Markdown: what is searched, what came out, how to do it again.

In: a search's configuration and, at its end, what `summary.json` and `evaluation.json` hold. Out: text for the tag
`mlflow.note.content`, with links to runs as `Tracker.set_linked_tags` resolves them. Nothing here is asked of MLflow.
"""

from __future__ import annotations

import shlex
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from palenka_tune.config import provenance
from palenka_tune.runs.context import Context
from palenka_tune.runs.place import resume_command
from palenka_tune.search.options import SearchOptions
from palenka_tune.spaces.settings import SearchConfig, objective_name
from palenka_tune.teachers.spec import Teacher
from palenka_tune.tracking.tracker import link_to
from palenka_tune.trials.arms import arms_of
from palenka_tune.trials.names import settings_name
from palenka_tune.words import clock, counted, markdown_table, percent, perplexity, plural, saved

LONGEST = 7500  # characters; a tag in MLflow has at most 8,000, and links grow when they are resolved


@dataclass(frozen=True)
class About:
    """What holds of a search from its begin to its end: its name, its data in a line, its teachers, the commands with
    which it goes on and is done again, and the commit of the code."""

    name: str
    data: str
    teachers: tuple[tuple[str, str], ...]
    resume: str
    again: str
    commit: str | None


def about(context: Context, teachers: Sequence[Teacher], options: SearchOptions) -> About:
    """What is known of a search once its `teachers` are there."""
    name, data = context.folder.name, context.prepared.describe()
    pairs = ["--minimal-pairs", options.minimal_pairs] if options.minimal_pairs else []
    again = ["python", "-m", "palenka_tune.search", "./search.yaml", "--name", f"{name}-again", *pairs]
    return About(
        name,
        data,
        tuple((teacher.name, teacher.fingerprint) for teacher in teachers),
        resume_command(name, options.storage, options.place),
        shlex.join(again),
        provenance.git_commit(),
    )


def begun(config: SearchConfig, about: About) -> str:
    """The note of a search that runs, or that was stopped."""
    search, experiment = config.search, config.experiment
    arms = arms_of(config)
    counts = ", ".join(f"{arm.name} {plural(arm.trials, 'trial')}" for arm in arms)
    space = [(f"`{name}`", f"`{values}`") for name, values in config.space.to_dict().items()]
    return _note(
        "**This search has not ended.** It looks for the student with the lowest dev cross-entropy "
        f"(`{search.objective}`, nats per token) in {len(arms)} arms, each tuned for itself: {counts}; by "
        f"{search.sampler}, seed {experiment.seed}.",
        config.description,
        markdown_table(("searched", "values"), space),
        f"Student {experiment.student.architecture.name}. {_origin(about)}",
        _goes_on("", about),
    )


def finished(
    summary: Mapping[str, Any],
    evaluation: Mapping[str, Any],
    about: About,
    *,
    more: bool = False,
    finalists: str | None = None,
) -> str:
    """The note of a search whose trials have ended: the verdict, the best of each arm beside the teachers, how to
    repeat it. `more`: these are still to be trained again; `finalists` is their Markdown table, once they are."""
    best, found = summary["best"], summary.get("verdict")
    arms = {arm: entry["best"] for arm, entry in summary["arms"].items() if entry["best"]}
    if objective_name(summary["objective"]["metric"]) == "val_ce":
        lines = [f"{arm} {entry['val_ce']:.4f} ({entry['trial_id']})" for arm, entry in arms.items()]
        lines += [f"{arm} did not finish" for arm in summary["arms"] if arm not in arms]
        said = f"Of the trials, with one seed, the best of each arm by val/ce (nats per token): {', '.join(lines)}."
    else:
        said = f"Chosen by {summary['objective']['metric']}, as the poster chose."
    trial = arms[best["arm"]]
    settings = settings_name(best["arm"], trial["origin"], best["params"])
    return _note(
        f"**{found['sentence']}**" if found else f"**{said}**",
        said if found else "",
        f"Best settings: `{settings}` ([{best['trial_id']}]({link_to(_run(best['trial_id']))})).",
        _models(evaluation, best["arm"]),
        _goes_on("The best of each arm are not trained again yet.", about) if more else None,
        finalists and f"### Trained again with fresh seeds\n\n{finalists}",
        f"Trials: {counted(summary['counts'])}; {saved(summary['budget'])}; {clock(summary['wall_seconds'])}. "
        f"{_origin(about)}",
        f"### Reproduce\n\nWith `search.yaml` from this run's artifacts{_at(about.commit)}:\n\n"
        f"```sh\n{about.again}\n```",
    )


def teacher(known: Teacher, *, trained_here: bool) -> str:
    """The note of a teacher's run."""
    if trained_here or known.val_ce is None:
        return known.describe()
    run = link_to(f"{{teacher:{known.fingerprint}}}")
    return f"{known.describe()}. Its [first run]({run}) here has its training, if a search trained it."


def teacher_runs(teachers: Sequence[Teacher]) -> str:
    """The runs in which the teachers were trained, as far as this MLflow has them."""
    return " ".join(f"{{teacher:{teacher.fingerprint}}}" for teacher in teachers)


def teacher_links(teachers: Sequence[tuple[str, str]]) -> str:
    """Teachers by name, each a link to the oldest run that has it."""
    return ", ".join(f"[{name}]({link_to(f'{{teacher:{fingerprint}}}')})" for name, fingerprint in teachers)


def _goes_on(why: str, about: About) -> str:
    return f"{why} If it was stopped, it goes on with\n\n```sh\n{about.resume}\n```".lstrip()


def _run(key: str) -> str:
    return f"{{run:{key}}}"


def _origin(about: About) -> str:
    teachers = f"Teachers: {teacher_links(about.teachers)}. " if about.teachers else ""
    return f"{teachers}Data: {about.data}."


def _at(commit: str | None) -> str:
    return f" and the code of commit `{commit}`" if commit else ""


def _models(evaluation: Mapping[str, Any], best: str) -> str:
    """The best of each arm, that of the arm `best` in bold, and the teachers, on dev and on minimal pairs."""
    suites, rows = evaluation["suites"], []
    for model in evaluation["models"]:
        name = model["name"]
        if model["role"] == "teacher":
            name = f"teacher {name}"
        cells = [name, f"{model['parameters']:,}", f"{model['val_ce']:.4f}", f"{perplexity(model['val_ce']):.1f}"]
        for suite in suites:
            found = model["suites"].get(suite)
            cells.append(percent(found["accuracy"], found["stderr"]) if found else "")
        rows.append((f"**{name}**", *cells[1:]) if model["role"] == best else tuple(cells))
    header = ("model", "parameters", "dev CE (nats per token)", "perplexity", *(f"{suite} (%)" for suite in suites))
    return markdown_table(header, rows)


def _note(*parts: str | None) -> str:
    """Paragraphs; the longest ones make room where MLflow would cut the last."""
    kept = [part for part in parts if part]
    while len("\n\n".join(kept)) > LONGEST:
        kept[kept.index(max(kept, key=len))] = "(a table that is too long for a note; see the artifacts)"
    return "\n\n".join(kept)
