"""The notebook runs from its first cell to its last, and is kept without outputs."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.docs.blocks import NOTEBOOK, ROOT


def test_it_is_kept_without_outputs() -> None:
    cells = [cell for cell in json.loads(NOTEBOOK.read_text(encoding="utf-8"))["cells"] if cell["cell_type"] == "code"]
    assert cells
    assert all(cell["outputs"] == [] and cell["execution_count"] is None for cell in cells)


@pytest.mark.long  # tests/docs/test_commands.py runs the code of its cells on a search that has ended
@pytest.mark.slow
@pytest.mark.ray
@pytest.mark.entry
@pytest.mark.timeout(900)
def test_it_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    nbclient = pytest.importorskip("nbclient", reason="nbclient is not installed: pip install -e '.[test]'")
    nbformat = pytest.importorskip("nbformat")
    pytest.importorskip("ipykernel", reason="ipykernel is not installed: pip install -e '.[test]'")
    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    notebook = nbformat.read(NOTEBOOK, as_version=4)
    client = nbclient.NotebookClient(notebook, timeout=600, resources={"metadata": {"path": str(tmp_path)}})
    client.execute()
    cells = [cell for cell in notebook.cells if cell.cell_type == "code"]
    outputs = [output for cell in cells for output in cell.outputs]
    # a search says nothing unless asked
    assert [output.text for output in outputs if output.output_type == "stream"] == []
    outputs = [output for output in outputs if output.data.get("text/html", "-")]  # Ray Tune opens an empty display
    assert len(outputs) == 5, outputs
    verdict, table, plot, text, accuracy = [output.data for output in outputs]
    assert "led the trials" in verdict["text/plain"]
    assert table["text/html"].count("<tr") == 1 + 7  # four trials and three fixed settings
    assert "image/png" in plot
    assert "the little dog" in text["text/plain"]
    assert "% of" in accuracy["text/plain"]
    assert (tmp_path / "runs" / "notebook" / "best" / "model.safetensors").is_file()
