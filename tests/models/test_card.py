import yaml

from palenka_tune.models.build import build_model, count_parameters
from palenka_tune.models.card import model_card
from palenka_tune.models.origin import origin_of
from palenka_tune.models.presets import ModelPreset

MODEL = build_model(
    ModelPreset("llama", "llama", width=32, layers=2, heads=4, ffn=48, tied=False),
    vocabulary_size=300,
    pad_id=0,
    bos_id=1,
    eos_id=2,
    window=16,
    seed=0,
)


def test_the_card_states_what_it_was_given_and_the_limits() -> None:
    card = model_card(
        title="A student",
        model=MODEL,
        data="storybook, 1,248,720 words",
        settings={"alpha": 1.0, "layer_map": "every:2|last"},
        val_ce=2.0,
        teachers=["GPT2-tiny", "Llama-tiny"],
        minimal_pairs={"BLiMP": (0.613, 0.0017), "one pair": (1.0, None)},
        limits=["Trained for one epoch."],
    )
    assert yaml.safe_load(card.split("---")[1])["pipeline_tag"] == "text-generation"
    assert f"{count_parameters(MODEL):,} parameters" in card
    assert "distilled with palenka_tune from GPT2-tiny and Llama-tiny" in card
    assert "| dev cross-entropy | 2.0000 nats per token |" in card
    assert "| dev perplexity | 7.4 per token |" in card
    assert "| BLiMP, accuracy (chance 50 %) | 61.3 ± 0.2 % |" in card
    assert "| one pair, accuracy (chance 50 %) | 100.0 % |" in card
    assert "| layer_map | every:2\\|last |" in card
    assert "storybook, 1,248,720 words" in card
    limits = card.split("## Limits")[1]
    assert "Trained for one epoch." in limits
    assert "256 tokens" in limits


def test_a_baseline_claims_no_teachers_and_no_scores() -> None:
    card = model_card(title="Baseline", model=MODEL, data="storybook", settings={}, val_ce=9.0)
    assert "trained without distillation" in card
    assert "distilled with" not in card
    assert "chance" not in card


def test_the_comparison_stands_between_results_and_settings() -> None:
    table = "| configuration | dev CE |\n| --- | ---: |\n| vanilla KD | 5.15 |"
    card = model_card(
        title="A student",
        model=MODEL,
        data="storybook",
        settings={},
        val_ce=2.0,
        verdict="deep supervision lowered dev CE by 0.041 ± 0.008 nats per token.\n",
        comparison=table,
    )
    section = card.split("## Comparison\n\n")[1].split("\n\n## Training settings")[0]
    assert section == "deep supervision lowered dev CE by 0.041 ± 0.008 nats per token.\n\n" + table
    assert card.index("## Results") < card.index("## Comparison")


def test_without_a_comparison_there_is_no_empty_section() -> None:
    bare = {"title": "A student", "model": MODEL, "data": "storybook", "settings": {}, "val_ce": 2.0}
    assert "## Comparison" not in model_card(**bare)
    assert model_card(**bare, verdict="  ", comparison=None) == model_card(**bare)
    assert "## Comparison\n\nonly words\n\n##" in model_card(**bare, verdict="only words")


def test_the_hub_can_read_where_it_comes_from(tmp_path) -> None:
    """Licence and language are the teachers', as far as their own cards say them; a damaged card says nothing."""
    teachers = [tmp_path / f"models--lab--teacher-{n}" / "snapshots" / "abc" for n in range(3)]
    for folder in teachers:
        folder.mkdir(parents=True)
    (teachers[0] / "README.md").write_text("---\nlicense: apache-2.0\nlanguage: en\n---\n# A teacher\n")
    (teachers[1] / "README.md").write_text("---\nlicense: apache-2.0\nlanguage: [en, de]\n---\n")
    (teachers[2] / "README.md").write_text("---\nlicense: [\n---\n")
    origin = origin_of("lab/stories", teachers)
    card = model_card(
        title="A student",
        model=MODEL,
        data="stories",
        settings={},
        val_ce=2.0,
        minimal_pairs={"BLiMP": (0.6134, None)},
        origin=origin,
        sample=("Once upon a", "time there `was`\na fox"),
    )
    head = yaml.safe_load(card.split("---")[1])
    assert head["base_model"] == [f"lab/teacher-{n}" for n in range(3)]
    assert (head["license"], head["language"], head["datasets"]) == ("apache-2.0", ["en", "de"], ["lab/stories"])
    dev, pairs = head["model-index"][0]["results"]
    assert dev["metrics"] == [{"type": "loss", "name": "cross-entropy (nats per token)", "value": 2.0}]
    assert (pairs["dataset"]["name"], pairs["metrics"][0]["value"]) == ("BLiMP", 0.6134)
    assert "> `Once upon a` → `time there 'was' a fox`" in card
    assert "No licence is stated" not in card


def test_teachers_of_two_licences_give_none(tmp_path) -> None:
    for name, licence in (("a", "mit"), ("b", "apache-2.0")):
        (tmp_path / name).mkdir()
        (tmp_path / name / "README.md").write_text(f"---\nlicense: {licence}\n---\n")
    origin = origin_of("storybook", [tmp_path / "a", tmp_path / "b"])
    assert (origin.licence, origin.base_models, origin.dataset) == (None, (), None)
    card = model_card(title="A", model=MODEL, data="storybook", settings={}, val_ce=float("nan"), origin=origin)
    assert "No licence is stated" in card
    assert "model-index" not in card
