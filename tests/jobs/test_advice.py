"""Hints as users meet them: jobs that fail in a running service, and that the advice helps."""

import io
import json
import zipfile
from typing import Any

import pytest

from tests.support.archives import zip_of
from tests.support.service import Service
from tests.support.upload_forms import UPLOAD, form

pytestmark = pytest.mark.service

PROJECT = {
    "src/__init__.py": "",
    "src/features.py": "columns = ['a', 'b']",
    "src/train.py": "from src.features import columns\nprint(columns)",
    "src/read_rows.py": "print(open('rows.csv').read())",
    "data/rows.csv": "1,2",
}


async def ended(
    service: Service, files: bytes, entrypoint: str, variables: str = "{}"
) -> dict[str, Any]:
    data = form(archive=("project.zip", files), entrypoint=entrypoint, environment_vars=variables)
    status, job = await service.post(UPLOAD, data=data)
    assert status == 202, job
    return await service.finished(job["job_id"])


async def test_modules_of_an_archive_get_a_python_path(shared: Service) -> None:
    job = await ended(shared, zip_of(PROJECT), "src/train.py")
    assert 'Set PYTHONPATH to "." in "environment_vars"' in job["error"]
    assert job["error"].endswith("\nModuleNotFoundError: No module named 'src'")
    variables = json.dumps({"PYTHONPATH": "."})
    job = await ended(shared, zip_of(PROJECT), "src/train.py", variables)
    assert (job["status"], job["logs"]) == ("completed", "['a', 'b']\n")


async def test_a_file_of_an_archive_is_found_in_its_folder(shared: Service) -> None:
    job = await ended(shared, zip_of(PROJECT), "src/read_rows.py")
    assert 'use "data/rows.csv"' in job["error"]


async def test_a_helper_without_modes_gets_its_interpreter(shared: Service) -> None:
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w") as archive:
        for name, text in {
            "train.py": "import subprocess\nsubprocess.run(['./prepare.sh'], check=True)",
            "prepare.sh": "#!/bin/sh\necho prepared\n",
        }.items():
            info = zipfile.ZipInfo(name)
            info.create_system, info.external_attr = 0, 0  # as on Windows
            archive.writestr(info, text)
    job = await ended(shared, packed.getvalue(), "train.py")
    assert '"prepare.sh" is not executable: run `sh prepare.sh`' in job["error"]


async def test_a_missing_program_is_not_taken_for_a_file(shared: Service) -> None:
    script = "import subprocess\nsubprocess.run(['nvidia-smi-of-asgard'], check=True)"
    job = await shared.finished(await shared.submit(script))
    assert '"nvidia-smi-of-asgard" is a program that is not installed' in job["error"]


async def test_required_arguments_get_advice(shared: Service) -> None:
    script = (
        "import argparse\nparser = argparse.ArgumentParser()\n"
        "parser.add_argument('--data', required=True)\nparser.parse_args()"
    )
    job = await shared.finished(await shared.submit(script))
    assert job["exit_code"] == 2
    assert 'in "args" or "params"' in job["error"]


async def test_the_error_is_that_of_the_main_thread(shared: Service) -> None:
    script = (
        "import threading, time\n"
        "def work():\n    time.sleep(0.2)\n    raise KeyError('of the thread')\n"
        "threading.Thread(target=work).start()\n"
        "raise ValueError('of the main thread')"
    )
    job = await shared.finished(await shared.submit(script))
    assert job["error"].splitlines()[-1] == "ValueError: of the main thread"
