"""Random search spaces and `--set` values against the command line: `python -m tests.faults.fuzz --inputs 2000`.

Each input goes through `python -m palenka_tune.search ... --dry-run` inside this process. Whatever it is, the command
must end with 0 or 2 and without a traceback. Inputs are made from the real names and values, bent a little; some name
odd files, run names and storages, bring an odd corpus or odd minimal pairs.
"""

from __future__ import annotations

import contextlib
import gzip
import io
import json
import random
import shutil
import sys
import traceback
from collections import Counter
from pathlib import Path
from typing import Any

import yaml

from palenka_tune.commands import options, search
from palenka_tune.config.build import leaf_paths
from palenka_tune.spaces.experiment import Experiment
from palenka_tune.spaces.space import KINDS, searchable_paths
from tests.faults.command import run as run_command

NAMES = [*searchable_paths(), *leaf_paths(Experiment), "search.samples", "search.rungs", "search.sampler", "parameters"]
VALUES: list[Any] = [
    *(0, 1, 2, -1, 0.5, 1e30, -1e-30, 10**30, float("nan"), float("inf"), True, False, None, "", "x", "ü", "\0", "1e3"),
    *(
        "2024_06",
        "12:30:00",
        "yes",
        "a b",
        "%20?#",
        "'",
        "\ud83d",
        "x" * 400,
        {"finalists": 0, "rungs": 2},
        {"rungs": 99},
    ),
    *("linear", "mlp", "poster", "uniform", "last", "every:2", "every:0", "none", "tpe", "grid", "babytalk", "/", "~"),
    *([], [1], [1, 2], [2, 1], [1, 2, 3], [[1]], ["a", 1], {}, {"a": 1}, {0: 0, 4: 4}, {"choice": [1]}, {"when": 3}),
]


FILES = ["space.yaml", "space.yaml", "my space.yaml", "пробный.yaml", "100%20?#.yaml", "no_ending"]
STORAGES = ["runs", "runs", "my runs", "100%20?#"]


def bent(generator: random.Random, name: str) -> str:
    """A name, sometimes misspelt."""
    if generator.random() < 0.8 or not name:
        return name
    at = generator.randrange(len(name))
    return name[:at] + generator.choice(["", ".", "x", "é", " "]) + name[at + 1 :]


def value(generator: random.Random, depth: int = 0) -> Any:
    """Any value, sometimes nested."""
    if depth < 3 and generator.random() < 0.2:
        return {bent(generator, generator.choice(NAMES)): value(generator, depth + 1) for _ in range(2)}
    return generator.choice(VALUES)


def parameter(generator: random.Random) -> Any:
    """An entry of a space: a kind with a range or choices, perhaps under a condition."""
    if generator.random() < 0.2:
        return value(generator)
    entry: dict[Any, Any] = {
        bent(generator, generator.choice([*KINDS])): generator.choice([value(generator), [0.1, 1]])
    }
    if generator.random() < 0.3:
        entry["when"] = {generator.choice(NAMES): value(generator)}
    return entry


def space(generator: random.Random) -> dict[Any, Any]:
    """A search space."""
    sections = ("description", "scale", "seed", "data", "student", "recipe", "teachers", "distill", "cache", "search")
    tree: dict[Any, Any] = {
        bent(generator, generator.choice(sections)): value(generator) for _ in range(generator.randrange(3))
    }
    tree["parameters"] = {
        bent(generator, generator.choice(NAMES)): parameter(generator) for _ in range(generator.randrange(4))
    }
    return tree


def assignment(generator: random.Random) -> str:
    """The text of a `--set`."""
    text = json.dumps(value(generator), default=str) if generator.random() < 0.7 else str(value(generator))
    return bent(generator, generator.choice(NAMES)) + generator.choice(["=", "=", "=", "", "=="]) + text


def odd_corpus(generator: random.Random, folder: Path) -> list[str]:
    """Options that bring a corpus with one fault, or with none."""
    shutil.rmtree(folder, ignore_errors=True)
    for split, lines in (("train", 200), ("dev", 40)):
        (folder / split).mkdir(parents=True)
        text = "".join(f"The dog number {line} runs to the house of {split}.\n" for line in range(lines))
        (folder / split / f"a.{split}").write_text(text)
    train = folder / "train" / "a.train"
    match generator.choice(["none", "utf16", "gz", "link", "same", "word", "empty", "bytes", "folder", "nul", "gone"]):
        case "utf16":
            train.write_bytes(train.read_text().encode("utf-16-le"))
        case "gz":
            (folder / "train" / "b.train.gz").write_bytes(gzip.compress(train.read_bytes()))
        case "link":
            (folder / "train" / "b.train").symlink_to(folder / "nowhere")
        case "same":
            (folder / "dev" / "a.dev").write_bytes(train.read_bytes())
        case "word":
            train.write_text("x" * 20_000)
        case "empty":
            train.write_text("")
        case "bytes":
            train.write_bytes(generator.randbytes(5000))
        case "folder":
            (folder / "train" / "more").mkdir()
        case "nul":
            train.write_text("\0" * 5000)
        case "gone":
            shutil.rmtree(folder / "dev")
    return ["--data", str(folder)]


def odd_pairs(generator: random.Random, folder: Path) -> list[str]:
    """Options that bring minimal pairs, most of which cannot be scored."""
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    sentence = generator.choice(["The dog runs.", "dog " * 400, "\ud83d", "", None, 3, ["a"], "\0"])
    pair = {"sentence_good": sentence, "sentence_bad": "The dog run."}
    line = generator.choice([json.dumps(pair), json.dumps([pair]), "{", "", "null"])
    (folder / "odd.jsonl").write_text(line + "\n")
    return ["--minimal-pairs", str(folder)]


def odd_name(generator: random.Random, folder: Path) -> list[str]:
    """Options that give a run's name, and a space whose file has an odd one."""
    folder.mkdir(exist_ok=True)
    path = folder / generator.choice(FILES)
    path.write_text("parameters: {alpha: {choice: [1, 2]}}\n")
    return [str(path), "--name", generator.choice(["a b", "ü", "", "%20?#", "..", "x" * 300, "a/b", "-", "fine"])]


def attempt(argv: list[str]) -> tuple[int | None, str]:
    """The exit code of the command (None: it raised) and what it said on standard error."""
    error = io.StringIO()
    with contextlib.redirect_stderr(error), contextlib.redirect_stdout(io.StringIO()):
        try:
            code: int | None = options.run(search.cli, argv)
        except SystemExit as ended:
            code = ended.code if isinstance(ended.code, int) else 1
        except BaseException:
            return None, traceback.format_exc()
    return code, error.getvalue()


def experiment(folder: Path, inputs: int, seed: int) -> dict[str, Any]:
    """Exit codes of `inputs` random inputs, and the inputs that ended in another way than 0 or 2."""
    generator = random.Random(seed)
    codes: Counter[str] = Counter()
    wrong = []
    for number in range(inputs):
        argv = ["--dry-run", "--storage", str(folder / generator.choice(STORAGES))]
        odd = generator.random() < 0.2  # by itself, since most random spaces are refused first
        if odd:
            argv += generator.choice([odd_corpus, odd_pairs, odd_name])(generator, folder / "odd")
        elif generator.random() < 0.6:
            path = folder / generator.choice(FILES)
            text = yaml.safe_dump(space(generator), allow_unicode=True)
            if generator.random() < 0.1:
                text = text[: generator.randrange(len(text))] + generator.choice(
                    ["", ":", "\t", "[", "!!python/name:os"]
                )
            path.write_text(text)
            argv.append(str(path))
        argv += [part for _ in range(0 if odd else generator.randrange(3)) for part in ("--set", assignment(generator))]
        code, said = attempt(argv)
        codes[str(code)] += 1
        if code not in (0, 2) or "Traceback" in said:
            wrong.append({"number": number, "argv": argv, "code": code, "said": said[-2000:]})
            print(f"input {number}: {argv}\n{said}", flush=True)
    started = [name for name in STORAGES if (folder / name).exists()]
    return {"inputs": inputs, "codes": dict(codes), "wrong": len(wrong), "started": started}


def good(result: dict[str, Any]) -> bool:
    """Whether every input ended with 0 or 2, and none started anything."""
    return not result["wrong"] and not result["started"]


if __name__ == "__main__":
    sys.exit(run_command(__doc__, experiment, good, inputs=2000, seed=0))
