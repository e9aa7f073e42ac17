"""Notebooks as jobs, in real kernels."""

import io
import json
import zipfile
from pathlib import Path
from typing import Any

import pytest
from aiohttp import FormData

from tests.support.api_service import (
    Document,
    cancel,
    finished,
    job,
    refused_fields,
    running,
    service_config,
    store_of,
    submit,
)
from tests.support.app_server import Client
from tests.support.eventually import eventually
from tests.support.notebooks import code, notebook, text
from tests.support.processes import processes_with
from tests.support.service import submission

pytestmark = pytest.mark.service

UPLOAD = "/mlops/training/upload"


async def run(api: Client, *cells: Any, **fields: Any) -> Document:
    """A job that has run a notebook."""
    fields = {"script_name": "analysis.ipynb", **fields}
    started = await submit(api, notebook(*cells), **fields)
    return await finished(api, started["job_id"])


async def executed(api: Client, job_id: str, name: str = "analysis") -> Any:
    path = f"/mlops/training/jobs/{job_id}/files/{name}.executed.ipynb"
    response = await api.get(path)
    assert response.status == 200, await response.text()
    return json.loads(await response.read())


async def test_a_notebook_runs_from_top_to_bottom(busy_api: Client) -> None:
    ended = await run(
        busy_api,
        text("# Analysis"),
        "import sys\nx = 20\nprint('out', sys.argv, __name__)\nprint('err', file=sys.stderr)",
        "x += 1",
        "!echo from the shell",
        "print('\\udcff')\nx * 2",
        args=["--lr", "{connection_file}"],
    )
    assert (ended["status"], ended["exit_code"]) == ("completed", 0), ended["logs"]
    expected = [
        "out ['analysis.ipynb', '--lr', '{connection_file}'] __main__",
        "err",
        "from the shell",
        "\ufffd",
        "42",
    ]
    assert sorted(ended["logs"].replace("\r", "").splitlines()) == sorted(expected)
    assert (ended["start"], ended["cold_reason"]) == ("cold", "notebook")
    cells = (await executed(busy_api, ended["job_id"]))["cells"]
    assert [cell.get("execution_count") for cell in cells] == [None, 1, 2, 3, 4]
    assert cells[4]["outputs"][-1]["data"]["text/plain"] == ["42"]


async def test_output_appears_while_a_cell_runs(busy_api: Client) -> None:
    source = "import time\nprint('started', flush=True)\ntime.sleep(60)"
    started = await submit(busy_api, notebook(source), script_name="n.ipynb")
    job_id = started["job_id"]

    async def is_shown() -> bool:
        return "started" in (await job(busy_api, job_id))["logs"]

    await eventually(is_shown, what="the output of the cell")
    ended = await cancel(busy_api, job_id)
    assert ended["status"] == "cancelled"


async def test_a_cancelled_kernel_cleans_up_and_is_gone(busy_api: Client) -> None:
    mark = "kernel-to-be-cancelled"
    source = (
        "import subprocess, sys, time\n"
        f"subprocess.Popen([sys.executable, '-c', 'import time; time.sleep(99)', {mark!r}])\n"
        "try:\n    print('ready')\n    time.sleep(60)\nfinally:\n    print('cleaned up')"
    )
    started = await submit(busy_api, notebook(source), script_name="n.ipynb")

    async def is_ready() -> bool:
        return "ready" in (await job(busy_api, started["job_id"]))["logs"]

    await eventually(is_ready, what="the cell runs")
    ended = await cancel(busy_api, started["job_id"])
    assert ended["status"] == "cancelled"
    assert "cleaned up" in ended["logs"]
    assert processes_with(mark) == []
    assert processes_with(started["job_id"]) == []


async def test_a_kernel_ends_with_its_job_on_process(tmp_path: Path) -> None:
    config = service_config(tmp_path, isolation={"level": "process"})
    async with running(config) as client:
        source = "import os, time\nprint('pid', os.getpid())\ntime.sleep(60)"
        started = await submit(client, notebook(source), script_name="n.ipynb")

        async def is_ready() -> bool:
            return "pid" in (await job(client, started["job_id"]))["logs"]

        await eventually(is_ready, what="the cell runs")
        ended = await cancel(client, started["job_id"])
    assert ended["status"] == "cancelled"
    pid = int(ended["logs"].split()[1])
    assert not Path(f"/proc/{pid}").exists()


async def test_parameters_replace_those_of_the_tagged_cell(busy_api: Client) -> None:
    ended = await run(
        busy_api,
        text("first"),
        code("lr = 1\nname = 'a'\nkept = True", "parameters"),
        "print(lr, name, kept)",
        params={"lr": 0.5, "name": "it's", "not-a-name": 1},
    )
    assert "0.5 it's True" in ended["logs"]
    cells = (await executed(busy_api, ended["job_id"]))["cells"]
    assert cells[2]["metadata"]["tags"] == ["injected-parameters"]
    assert "lr = 0.5\n" in cells[2]["source"]
    ended = await run(busy_api, "print(lr)", params={"lr": 7})
    assert ended["logs"] == "7\n"


async def test_an_error_names_cell_and_line(busy_api: Client) -> None:
    ended = await run(
        busy_api,
        code("lr = 1", "parameters"),
        text("# fails"),
        "def divide(x):\n    return 1 / x",
        "print('before')\ndivide(0)",
        "print('never')",
        params={"lr": 2},
    )
    assert (ended["status"], ended["reason"], ended["exit_code"]) == ("failed", "exit_code", 1)
    assert "cell 4, line 2" in ended["error"]
    assert ended["error"].endswith("\nZeroDivisionError: division by zero")
    assert 'File "analysis.ipynb, cell 3", line 2, in divide' in ended["logs"]
    assert "never" not in ended["logs"]
    cells = (await executed(busy_api, ended["job_id"]))["cells"]
    assert cells[4]["outputs"][-1]["ename"] == "ZeroDivisionError"


@pytest.mark.parametrize(
    ("source", "exit_code", "signal"),
    [
        ("import sys; sys.exit(3)", 3, None),
        ("raise SystemExit", 0, None),
        ("import sys; sys.exit('bye')", 1, None),
        ("exit()", 0, None),
        ("import os; os._exit(5)", 5, None),
        ("import os; os.kill(os.getpid(), 9)", None, "SIGKILL"),
        ("x = (", 1, None),
    ],
)
async def test_the_exit_code_is_that_of_a_script(
    busy_api: Client, source: str, exit_code: int | None, signal: str | None
) -> None:
    ended = await run(busy_api, source, "print('never')")
    assert (ended["exit_code"], ended["signal"]) == (exit_code, signal), ended["logs"]
    assert "never" not in ended["logs"]
    assert ("bye" in ended["logs"]) == ("bye" in source)
    assert "%tb" not in ended["logs"]


async def test_a_notebook_under_another_name_is_recognised(busy_api: Client) -> None:
    ended = await run(busy_api, "get_ipython()\nprint('as a notebook')", script_name="train.py")
    assert (ended["status"], ended["script_name"]) == ("completed", "train.ipynb")
    assert "as a notebook" in ended["logs"]


@pytest.mark.parametrize("kind", ["script", "archive"])
async def test_forms_take_notebooks(busy_api: Client, kind: str) -> None:
    form = FormData({"experiment_name": "e", "model_name": "m"})
    content = notebook("import helper\nprint(helper.VALUE, open('data.txt').read())")
    if kind == "script":
        content = notebook("print('helped', 'x')")
        form.add_field("script", content, filename="analysis.ipynb")
    else:
        packed = io.BytesIO()
        with zipfile.ZipFile(packed, "w") as archive:
            archive.writestr("in a/analysis.ipynb", content)
            archive.writestr("in a/helper.py", "VALUE = 'helped'")
            archive.writestr("in a/data.txt", "x")
        form.add_field("archive", packed.getvalue(), filename="project.zip")
        form.add_field("entrypoint", "in a/analysis.ipynb")
    response = await busy_api.post(UPLOAD, data=form)
    assert response.status == 202, await response.text()
    ended = await finished(busy_api, (await response.json())["job_id"])
    assert ended["logs"] == "helped x\n"
    folder = "" if kind == "script" else "in%20a/"
    assert await executed(busy_api, ended["job_id"], f"{folder}analysis")


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"print('hello')", "not a notebook"),
        (b'{"cells": 5, "nbformat": 4}', "not a notebook"),
        (b'{"cells": [', "not a notebook"),
        (notebook("x <- 1", language="R"), "only Python"),
        (notebook(text("nothing")), "no code"),
    ],
)
async def test_other_files_are_refused(busy_api: Client, content: bytes, message: str) -> None:
    response = await busy_api.post(UPLOAD, json=submission(content, script_name="n.ipynb"))
    (problem,) = (await refused_fields(response))["script_content"]
    assert message in problem


async def test_imports_of_cells_are_found(busy_api: Client) -> None:
    started = await submit(
        busy_api,
        notebook("import numpy as np, os.path\nfrom sklearn import x"),
        script_name="n.ipynb",
    )
    stored = await store_of(busy_api).get(started["job_id"])
    assert stored.imports == frozenset({"numpy", "os", "sklearn"})
    started = await submit(busy_api, notebook("%run x.py"), script_name="n.ipynb")
    assert (await store_of(busy_api).get(started["job_id"])).imports is None
