"""`asgard run` with notebooks, against a real service."""

from pathlib import Path

import pytest

from asgard_async.cli.entrypoint import candidates
from tests.support.notebooks import code, notebook
from tests.support.preloaded_command import asgard
from tests.support.service import Service

pytestmark = pytest.mark.service


def run(shared: Service, *arguments: str | Path) -> tuple[int, str, str]:
    done = asgard("run", *arguments, ASGARD_URL=shared.url)
    return done.returncode, done.stdout, done.stderr


async def test_a_notebook_is_run_with_arguments(shared: Service, tmp_path: Path) -> None:
    file = tmp_path / "analysis.ipynb"
    file.write_bytes(
        notebook(code("lr = 1", "parameters"), "import sys\nprint(lr, sys.argv)\nsys.exit(3)")
    )
    exit_code, stdout, stderr = run(shared, file, "--param", "lr=0.5", "--", "--fast")
    assert (exit_code, stdout) == (3, "0.5 ['analysis.ipynb', '--fast', '--lr=0.5']\n")
    assert "experiment analysis." in stderr


async def test_the_only_notebook_of_a_folder_is_run(shared: Service, tmp_path: Path) -> None:
    (tmp_path / "only.ipynb").write_bytes(notebook("print(open('data.txt').read())"))
    (tmp_path / "data.txt").write_text("beside")
    exit_code, stdout, stderr = run(shared, tmp_path)
    assert (exit_code, stdout) == (0, "beside\n"), stderr
    assert "Running only.ipynb." in stderr


async def test_a_failing_cell_is_named(shared: Service, tmp_path: Path) -> None:
    file = tmp_path / "n.ipynb"
    file.write_bytes(notebook("print('fine')", "\nundefined"))
    exit_code, _, stderr = run(shared, file)
    assert exit_code == 1
    assert "failed in cell 2, line 2" in stderr
    assert "NameError: name 'undefined' is not defined" in stderr


def test_scripts_come_before_notebooks() -> None:
    assert candidates(["explore.ipynb", "data/x.ipynb"]) == ["explore.ipynb"]
