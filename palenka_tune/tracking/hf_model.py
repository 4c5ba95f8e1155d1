"""A Hugging Face model folder as an MLflow model, without loading it and without the network.

A folder with `config.json`, weights and tokenizer files becomes one in MLflow's model format, which
`mlflow.transformers.load_model` and `mlflow.pyfunc.load_model` load. `mlflow.transformers.save_model` is not used: with
transformers 5 it cannot start from a folder, and from a loaded model it asks the Hugging Face hub for a model card and
a licence, which takes most of a minute without internet.
"""

from __future__ import annotations

import platform
import shutil
from importlib.metadata import version
from pathlib import Path

import yaml

from palenka_tune.config.files import read_json
from palenka_tune.errors import PalenkaError

_WEIGHTS = {".safetensors", ".bin", ".pt"}


def write_mlflow_model(folder: Path, target: Path, *, run_id: str, model_id: str) -> None:
    """Lay out `folder` as an MLflow text-generation model in the existing, empty folder `target`.

    Weights are linked, not copied. Raises `PalenkaError` if `folder` is no Hugging Face model with a tokenizer.
    """
    from mlflow import pyfunc
    from mlflow.models import Model, ModelSignature
    from mlflow.types import ColSpec, Schema

    config = read_json(folder / "config.json")
    if not (folder / "tokenizer_config.json").exists() or not config.get("architectures"):
        raise PalenkaError(f"{folder} has no tokenizer or names no architecture, so MLflow cannot hold it as a model")

    (target / "model").mkdir()
    (target / "components" / "tokenizer").mkdir(parents=True)
    for path in sorted(folder.iterdir()):
        if path.suffix in _WEIGHTS:
            (target / "model" / path.name).symlink_to(path.absolute())
        elif path.is_file():
            shutil.copyfile(path, target / "model" / path.name)
            if path.name != "config.json":
                shutil.copyfile(path, target / "components" / "tokenizer" / path.name)

    requirements = [f"{name}=={version(name).partition('+')[0]}" for name in ("mlflow", "torch", "transformers")]
    python = platform.python_version()
    conda = {"name": "mlflow-env", "channels": ["conda-forge"]}
    (target / "requirements.txt").write_text("\n".join(requirements) + "\n", encoding="utf-8")
    _write_yaml(target / "conda.yaml", {**conda, "dependencies": [f"python={python}", "pip", {"pip": requirements}]})
    _write_yaml(
        target / "python_env.yaml",
        {"python": python, "build_dependencies": ["pip"], "dependencies": ["-r requirements.txt"]},
    )

    text = Schema([ColSpec("string")])
    model = Model(run_id=run_id, model_id=model_id, signature=ModelSignature(inputs=text, outputs=text))
    model.add_flavor(
        "transformers",
        transformers_version=version("transformers"),
        task="text-generation",
        instance_type="TextGenerationPipeline",
        pipeline_model_type=config["architectures"][0],
        source_model_name=folder.name,
        model_binary="model",
        components=["tokenizer"],
        tokenizer_type="AutoTokenizer",
        torch_dtype=f"torch.{config.get('dtype', 'float32')}",
        code=None,
    )
    pyfunc.add_to_model(
        model, loader_module="mlflow.transformers", conda_env="conda.yaml", python_env="python_env.yaml"
    )
    model.model_size_bytes = sum(path.stat().st_size for path in target.rglob("*") if path.is_file())
    model.save(str(target / "MLmodel"))


def _write_yaml(path: Path, value: dict[str, object]) -> None:
    path.write_text(yaml.safe_dump(value, sort_keys=False), encoding="utf-8")
