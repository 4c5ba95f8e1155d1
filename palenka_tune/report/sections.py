"""The parts of a report in their order: which sentences, tables and charts stand under which heading."""

from __future__ import annotations

from collections.abc import Sequence

from palenka_tune.report import tables, text
from palenka_tune.report.charts.budget import budget_figure
from palenka_tune.report.charts.comparison import runs_and_arms_figure, runs_by_steps_figure, runs_contrasts_figure
from palenka_tune.report.charts.early import early_figure
from palenka_tune.report.charts.grid import weights_figures
from palenka_tune.report.charts.importance import importance_figure, too_little
from palenka_tune.report.charts.minimal_pairs import pairs_figures
from palenka_tune.report.charts.outcome import accuracies_figure, best_figure, contrasts_figure
from palenka_tune.report.charts.projections import explained_figure, spread_figure
from palenka_tune.report.charts.searched import searched_figure
from palenka_tune.report.charts.sizes import sizes_figure
from palenka_tune.report.charts.trials import history_figure, parallel_figure, search_figure, slices_figure
from palenka_tune.report.data import RunData
from palenka_tune.report.page import Fold, Section


def sections(run: RunData) -> list[Section]:
    """Every part of the report of one run, from what was found down to the command that repeats it."""
    models, weights, pairs = tables.models_table(run), weights_figures(run), pairs_figures(run)
    sizes = [tables.sizes_table(run), sizes_figure(run)]
    explained, spread = explained_figure(run), spread_figure(run)
    return [
        Section(
            "What was found",
            tables.recipe_table(run),
            contrasts_figure(run) or best_figure(run),
            *text.beside_sentences(run),
            tables.finalists_table(run),
            None if models else f"{text.NOT_SCORED} yet.",
            models,
        ),
        Section("Do early looks predict the end?", *text.early_sentences(run), early_figure(run)),
        Section(
            "The trials",
            text.trials_sentence(run),
            search_figure(run),
            history_figure(run),
            searched_figure(run),
            Fold("All trials", tables.trials_table(run)) if run.trials else None,
        ),
        *([Section("The students' sizes", *sizes)] if any(sizes) else []),
        *([Section("The two weights", *weights)] if weights else []),
        Section(
            "The settings",
            too_little(run),
            tables.settings_table(run),
            importance_figure(run),
            parallel_figure(run),
            slices_figure(run),
        ),
        Section(
            "Budget, cache and cost",
            text.budget_sentence(run),
            tables.stages_table(run),
            tables.cost_table(run),
            budget_figure(run),
        ),
        Section(
            "The projections",
            None if explained else text.NO_LAYERS,
            None if spread else text.NO_SPREAD,
            explained,
            spread,
        ),
        Section("Minimal pairs", None if pairs else f"{text.NOT_SCORED}.", accuracies_figure(run), *pairs),
        Section(
            "How to repeat it",
            text.REPEATABLE,
            tables.provenance_table(run),
            Fold("Commands that repeat it", "\n".join(run.commands)) if run.commands else None,
            Fold("search.yaml, the whole configuration", run.configuration) if run.configuration else None,
        ),
    ]


def comparison(runs: Sequence[RunData]) -> Section:
    """The part of a report that has several runs; val/ce of different kinds share no axis."""
    levels = () if text.what_sets_apart(runs) else (runs_by_steps_figure(runs), runs_and_arms_figure(runs))
    return Section(
        "The runs beside each other",
        *text.comparison_sentences(runs),
        tables.comparison_table(runs),
        tables.differences_table(runs),
        *levels,
        runs_contrasts_figure(runs),
    )
