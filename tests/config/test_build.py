"""Strict configuration: what is given wrongly is refused in one sentence that says where and what is nearest."""

from __future__ import annotations

from dataclasses import dataclass, field

import pytest

from palenka_tune.config.build import build, dump_yaml, full_path, leaf_paths, load_yaml, parse_assignment, set_path
from palenka_tune.errors import UserError


@dataclass(frozen=True)
class Inner:
    __pydantic_config__ = {"extra": "forbid"}  # noqa: RUF012
    rank: int | None = None
    kind: str = "linear"

    def __post_init__(self) -> None:
        if self.rank is not None and self.rank < 1:
            raise UserError(f"rank is {self.rank}; it must be 1 or more")


@dataclass(frozen=True)
class Outer:
    __pydantic_config__ = {"extra": "forbid"}  # noqa: RUF012
    beta: float = 1.0
    inner: Inner = field(default_factory=Inner)


def test_nested_mappings_become_dataclasses():
    assert build(Outer, {"beta": 2, "inner": {"rank": 3}}, "x.yaml") == Outer(2.0, Inner(3))


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"bta": 1}, "x.yaml: unknown key 'bta' (did you mean 'beta'?)"),
        ({"inner": {"rnk": 1}}, "x.yaml: unknown key 'inner.rnk' (did you mean 'rank'?)"),
        ({"inner": {"rank": -1}}, "x.yaml: rank is -1; it must be 1 or more"),
        ({"beta": "much"}, "x.yaml: beta is 'much'; input should be a valid number"),
        ({"inner": 3}, "x.yaml: inner is 3"),
    ],
)
def test_what_is_wrong_is_named_with_its_place(values, message):
    with pytest.raises(UserError) as error:
        build(Outer, values, "x.yaml")
    assert str(error.value).startswith(message)
    assert "\n" not in str(error.value)


def test_settings_are_found_by_path_or_by_their_last_part():
    paths = leaf_paths(Outer)
    assert paths == ["beta", "inner.rank", "inner.kind"]
    assert full_path("rank", paths, "--set") == "inner.rank"
    with pytest.raises(UserError, match=r"could be a\.x or b\.x"):
        full_path("x", ["a.x", "b.x"], "--set")
    with pytest.raises(UserError, match="did you mean 'rank'"):
        full_path("rnak", paths, "--set")


def test_set_path_makes_the_parents_it_needs():
    tree: dict = {"a": 1}
    set_path(tree, "b.c.d", 2)
    assert tree == {"a": 1, "b": {"c": {"d": 2}}}


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("lr=1e-3", ("lr", 1e-3)),
        ("lr=[-1E5, .5e+1, 2.e0, 1e]", ("lr", [-1e5, 5.0, 2.0, "1e"])),
        ("rank=null", ("rank", None)),
        ("beta={log_uniform: [1e-1, 30]}", ("beta", {"log_uniform": [0.1, 30]})),
        ("layer_map={0: 0, 4: 4}", ("layer_map", {0: 0, 4: 4})),
        ("name=a=b", ("name", "a=b")),
    ],
)
def test_assignments_are_yaml(text, expected):
    assert parse_assignment(text) == expected


@pytest.mark.parametrize(
    "text", ["beta", "=3", "beta=[1", "beta={a: 1, a: 2}", "beta={a: !!python/object:os.system x}"]
)
def test_assignments_that_are_not_are_refused(text):
    with pytest.raises(UserError, match="--set"):
        parse_assignment(text)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"a: 1\na: 2\n", "key 'a' stands twice"),
        (b"- 1\n", "holds list"),
        (b"a: [1\n", "not valid YAML"),
        (b"a: \xff\n", "not UTF-8"),
        (b"a: !!python/object/apply:os.system ['true']\n", "not valid YAML"),
        (b"? [1, 2]\n: 3\n", "not valid YAML"),
        (b"", "holds NoneType"),
    ],
)
def test_yaml_that_cannot_be_a_configuration(tmp_path, content, message):
    path = tmp_path / "space.yaml"
    path.write_bytes(content)
    with pytest.raises(UserError, match=message):
        load_yaml(path)


def test_a_mapping_may_take_the_keys_of_another(tmp_path):
    path = tmp_path / "space.yaml"
    path.write_text("a: &first {x: 1, y: 2}\nb:\n  <<: *first\n  y: 3\n")
    assert load_yaml(path)["b"] == {"x": 1, "y": 3}


def test_a_missing_file_is_named(tmp_path):
    with pytest.raises(UserError, match=r"nowhere\.yaml does not exist"):
        load_yaml(tmp_path / "nowhere.yaml")


TEXTS = [
    "2024_06",
    "1e3",
    "1e-3",
    ".5e1",
    "0x10",
    "010",
    "yes",
    "on",
    "No",
    "null",
    "~",
    "12:30:00",
    "2024-06-01",
    "1_0.5",
]


@pytest.mark.parametrize("text", TEXTS)
def test_what_is_quoted_stays_text(tmp_path, text):
    path = tmp_path / "x.yaml"
    for quote in "'\"":
        path.write_text(f"inner: {{kind: {quote}{text}{quote}}}\n")
        assert build(Outer, load_yaml(path), "x").inner.kind == text
        assert parse_assignment(f"inner.kind={quote}{text}{quote}") == ("inner.kind", text)
    path.write_text(dump_yaml({"inner": {"kind": text}}))  # as `search.yaml` is written and read
    assert load_yaml(path) == {"inner": {"kind": text}}


@pytest.mark.parametrize("text", TEXTS)
def test_text_is_no_number(text):
    for values in ({"beta": text}, {"inner": {"rank": text}}):
        with pytest.raises(UserError, match=r"input should be a valid number: what is in quotes is text"):
            build(Outer, values, "x.yaml")


def test_yes_is_no_number():
    with pytest.raises(UserError, match=r"x: beta is True; input should be a valid number: YAML reads yes"):
        build(Outer, dict([parse_assignment("beta=yes")]), "x")


@pytest.mark.parametrize(("text", "number"), [("1e-3", 1e-3), ("1E3", 1000.0), ("-2.5e+1", -25.0), (".5e1", 5.0)])
def test_a_number_as_people_write_it_is_one(tmp_path, text, number):
    path = tmp_path / "x.yaml"
    path.write_text(f"beta: {text}\n")
    assert load_yaml(path) == {"beta": number} == dict([parse_assignment(f"beta={text}")])
