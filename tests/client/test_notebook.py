"""The example notebook, executed in a real kernel against a real service."""

from pathlib import Path
from typing import Any

import nbformat
import pytest
from nbclient import NotebookClient

from tests.support.mlflow_servers import MlflowServer
from tests.support.service import QUICK_TO_WARM, running_service

ROOT = Path(__file__).parent.parent.parent
NOTEBOOK = ROOT / "examples" / "asgard.ipynb"


def printed(cell: Any) -> str:
    """A cell's output and the representation of its value."""
    return "".join(
        output.get("text", "") + output.get("data", {}).get("text/html", "")
        or output.get("data", {}).get("text/plain", "")
        for output in cell.outputs
    )


def test_the_notebook_stores_no_outputs() -> None:
    notebook = nbformat.read(NOTEBOOK, as_version=4)  # type: ignore[no-untyped-call]
    code = [cell for cell in notebook.cells if cell.cell_type == "code"]
    assert [cell.outputs for cell in code] == [[]] * len(code)
    assert {cell.execution_count for cell in code} == {None}


@pytest.mark.mlflow
@pytest.mark.service
@pytest.mark.slow
async def test_every_cell_runs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, mlflow_server: MlflowServer
) -> None:
    settings = {
        **QUICK_TO_WARM,
        "ASGARD_MLFLOW__TRACKING_URI": mlflow_server.uri,
        "ASGARD_TRACKING__SETTLE_SECONDS": "30",
    }
    async with running_service(tmp_path / "data", settings) as service:
        await service.mlflow_uri()
        monkeypatch.setenv("ASGARD_URL", service.url)
        monkeypatch.setenv("PYTHONPATH", str(ROOT))
        for name in ("IPYTHONDIR", "JUPYTER_RUNTIME_DIR", "JUPYTER_CONFIG_DIR"):
            monkeypatch.setenv(name, str(tmp_path / name.lower()))
        notebook = nbformat.read(NOTEBOOK, as_version=4)  # type: ignore[no-untyped-call]
        client = NotebookClient(
            notebook, timeout=180, resources={"metadata": {"path": str(tmp_path)}}
        )
        await client.async_execute()
    outputs = {
        cell.source.splitlines()[-1]: printed(cell)
        for cell in notebook.cells
        if cell.cell_type == "code"
    }
    text = "\n".join(outputs.values())
    assert "alpha  0.1: r² = 0." in text
    assert "<table>" in text
    assert "'r2': 0." in text
    assert "diabetes-ridge 1 of job " in text
    assert "No module named 'no_such_module'" in text
    assert "[('0\\n', 'completed'), ('1\\n', 'completed'), ('4\\n', 'completed')]" in text
