"""Arguments and parameters of scripts: `sys.argv` as by hand, cold and warm."""

import json
from pathlib import Path

import pytest

from tests.support.preloaded_command import asgard
from tests.support.service import Service
from tests.support.upload_forms import form

pytestmark = [pytest.mark.service, pytest.mark.asyncio(loop_scope="session")]

ARGS = ["--lr", "0.1", "", "ü b", "--", "$HOME;*", "a\nb"]
PARAMS = {"depth": 6, "rate": 1e-05, "name": "x y", "flag": True, "none": ""}
ARGV = [*ARGS, "--depth=6", "--rate=1e-05", "--name=x y", "--flag=true", "--none="]
PRINTS = """
import json, os, sys
print(json.dumps([sys.argv, json.loads(os.environ.get("ASGARD_PARAMS", "{}"))]))
"""


@pytest.mark.parametrize("warm", [True, False])
async def test_a_script_gets_its_arguments(shared: Service, warm: bool) -> None:
    await shared.warm()
    script = f"import idna\n{PRINTS}"
    job_id = await shared.submit(script, args=ARGS, params=PARAMS, warm=warm)
    job = await shared.finished(job_id)
    assert job["start"] == ("warm" if warm else "cold")
    assert json.loads(job["logs"]) == [["train.py", *ARGV], PARAMS]
    assert (job["args"], job["params"]) == (ARGS, PARAMS)


async def test_a_job_without_arguments_has_none(shared: Service) -> None:
    job = await shared.finished(await shared.submit(PRINTS))
    assert json.loads(job["logs"]) == [["train.py"], {}]
    assert (job["args"], job["params"]) == ([], {})


async def test_a_form_has_a_part_for_each_argument(shared: Service) -> None:
    body = form(
        script=("train.py", PRINTS.encode()), args=["--lr", "0.1"], params=json.dumps(PARAMS)
    )
    async with shared.session.post(f"{shared.url}/mlops/training/upload", data=body) as response:
        assert response.status == 202, await response.text()
        job = await shared.finished((await response.json())["job_id"])
    assert json.loads(job["logs"])[0] == ["train.py", "--lr", "0.1", *ARGV[len(ARGS) :]]


async def test_a_retry_has_the_same_arguments(shared: Service) -> None:
    job_id = await shared.submit(PRINTS, args=ARGS, params=PARAMS)
    _, retried = await shared.post(f"/mlops/training/jobs/{job_id}/retry")
    job = await shared.finished(retried["job_id"])
    assert json.loads(job["logs"]) == [["train.py", *ARGV], PARAMS]


async def test_asgard_run_passes_what_follows_two_dashes(shared: Service, tmp_path: Path) -> None:
    script = tmp_path / "train.py"
    script.write_text(PRINTS)
    done = asgard(
        *("run", script, "--param", "depth=6", "--param", "name=x", "--param", "up=true"),
        *("--", "--lr", "0.1", "--help"),
        ASGARD_URL=shared.url,
    )
    assert done.returncode == 0, done.stderr
    argv, params = json.loads(done.stdout)
    assert argv[1:] == ["--lr", "0.1", "--help", "--depth=6", "--name=x", "--up=true"]
    assert params == {"depth": 6, "name": "x", "up": True}
    shown = asgard("show", done.stderr.split("job ")[1][:8], ASGARD_URL=shared.url).stdout
    lines = dict(line.split(maxsplit=1) for line in shown.splitlines())
    assert lines["args"] == "--lr 0.1 --help"
    assert lines["params"] == "depth=6, name=x, up=true"


@pytest.mark.parametrize(
    ("fields", "name", "message"),
    [
        ({"args": "--lr 0.1"}, "args", "list"),
        ({"args": ["a\0"]}, "args.0", "NUL"),
        ({"args": ["x" * 8001]}, "args.0", "at most 8000"),
        ({"args": ["x" * 7000] * 10}, "args", "the limit is 65536"),
        ({"params": {"a b": 1}}, "params.a b", "Not the name of a parameter"),
        ({"params": {"-x": 1}}, "params.-x", "Not the name of a parameter"),
        ({"params": {"a": None}}, "params.a", "text, a number, true or false"),
        ({"params": {"a": 2**70}}, "params.a", "too large"),
        ({"params": [1]}, "params", "Must be an object"),
    ],
)
async def test_invalid_arguments_are_refused(
    shared: Service, fields: dict[str, object], name: str, message: str
) -> None:
    status, problem = await shared.upload(PRINTS, **fields)
    assert status == 422
    assert message in problem["errors"][name][0], problem["errors"]
