"""`asgard jobs` and the commands for one job, against a real service."""

import asyncio
import json
import os
import secrets
import sys
from pathlib import Path
from typing import Any

import pytest

from asgard_async.auth.token import Scope
from asgard_async.auth.token_file import TokenFile
from asgard_async.cli.commands.jobs import LISTED
from asgard_async.config.data_directory import DataDirectory
from asgard_async.core.timestamps import now
from tests.cli.test_run import WAITS
from tests.support.asgard_command import running
from tests.support.preloaded_command import asgard
from tests.support.service import Service
from tests.support.terminal import CTRL_C, in_terminal

pytestmark = pytest.mark.service

HOSTILE_NAME = "\x1b]0;stolen\x07\x1b[2Jexperiment [bold]x[/bold]"


def output(service: Service, *arguments: str, **environ: str) -> str:
    done = asgard(*arguments, ASGARD_URL=service.url, **environ)
    assert done.returncode == 0, done.stderr
    assert "\x1b" not in done.stdout
    return done.stdout


def parsed(service: Service, *arguments: str, **environ: str) -> Any:
    return json.loads(output(service, *arguments, "--json", **environ))


async def test_jobs_are_listed_in_a_table(shared: Service) -> None:
    name = f"listed {secrets.token_hex(4)}"
    first = await shared.submit(
        "raise SystemExit(3)", experiment_name=name, tags={"team": name}, model_name="short"
    )
    await shared.finished(first)
    second = await shared.submit("print()", experiment_name=name, model_name="a long name " * 8)
    await shared.finished(second)
    header, *rows = output(shared, "jobs", "--experiment", name).splitlines()
    assert header.split() == [
        *("job", "status", "why", "age"),
        "ran",
        "script",
        "experiment",
        "model",
    ]
    assert [row.split()[:2] for row in rows] == [[second, "completed"], [first, "failed"]]
    assert "exit_code" in rows[1]
    # nothing is truncated in a pipe
    assert ("a long name " * 8).strip() in rows[0]
    for chosen, found in (
        (("--status", "failed", "--experiment", name), [first]),
        (("--tag", f"team={name}", "--since", "2020-01-31", "--all"), [first]),
        (("--since", "2099-01-31"), []),
        (("-n", "1", "--experiment", name), [second]),
    ):
        assert [job["job_id"] for job in parsed(shared, "jobs", *chosen)] == found


async def test_jobs_of_one_owner_are_listed(service: Service) -> None:
    tokens, jobs = TokenFile(DataDirectory(root=service.data_dir).tokens), {}
    for owner in ("ada", "bob"):
        secret = tokens.create(name=owner, scope=Scope.SUBMIT, at=now()).secret
        service.session.headers["Authorization"] = f"Bearer {secret}"
        jobs[owner] = await service.submit("print()")
        await service.finished(jobs[owner])
    for chosen, owners in (("--all",), "ba"), (("--mine",), "b"), (("--owner", "ada"), "a"):
        listed = parsed(service, "jobs", *chosen, ASGARD_TOKEN=secret)
        assert [job["submitted_by"][0] for job in listed] == list(owners)
        assert {job["job_id"] for job in listed} <= set(jobs.values())
    assert parsed(service, "jobs", "--mine", "--owner", "ada", ASGARD_TOKEN=secret) == []


async def test_json_output_equals_the_response(shared: Service) -> None:
    job_id = await shared.submit("print()")
    job = await shared.finished(job_id)
    (listed,) = parsed(shared, "jobs", "-n", "1")
    assert listed == {name: job[name] for name in LISTED}
    _, page = await shared.get("/mlops/training/jobs")
    assert set(page["jobs"][0]) - {"links"} == set(LISTED)
    shown = parsed(shared, "show", job_id)
    assert {**job, **shown, "logs": None} == {**shown, "links": job["links"]}


async def test_what_a_job_was_given_is_shown_and_found(shared: Service) -> None:
    name = f"given {secrets.token_hex(4)}"
    given = {"args": ["--fast"], "params": {"lr": 0.1}, "environment_vars": {"EPOCHS": "3"}}
    job_id = await shared.submit("print()", experiment_name=name, **given)
    await shared.submit("print()", experiment_name=name)
    for chosen in (("--param", "lr=0.1"), ("--arg=--fast",), ("--env", "EPOCHS")):
        (found,) = parsed(shared, "jobs", "--experiment", name, *chosen)
        assert (found["job_id"], found["params"], found["args"]) == (
            job_id,
            {"lr": 0.1},
            ["--fast"],
        )
    shown = output(shared, "show", job_id)
    for line in ("args --fast", "params lr=0.1", "environment vars EPOCHS=3"):
        assert line in " ".join(shown.split())
    assert asgard("jobs", "--param", "lr", ASGARD_URL=shared.url).returncode == 2


async def test_escape_sequences_in_names_are_not_obeyed(shared: Service) -> None:
    job_id = await shared.submit("print()", experiment_name=HOSTILE_NAME)
    await shared.finished(job_id)
    with in_terminal("jobs", ASGARD_URL=shared.url) as terminal:
        assert await terminal.ended() == 0
    assert terminal.title == ""
    with in_terminal("show", job_id, ASGARD_URL=shared.url) as terminal:
        assert await terminal.ended() == 0
    assert terminal.title == ""
    (line,) = [line for line in terminal.lines if line.startswith("experiment")]
    assert line.endswith(r"\x1b]0;stolen\x07\x1b[2Jexperiment [bold]x[/bold]")


async def test_watch_shows_changes(shared: Service, tmp_path: Path) -> None:
    flag, name = tmp_path / "flag", f"watched {secrets.token_hex(4)}"
    with in_terminal("jobs", "--watch", "--experiment", name, ASGARD_URL=shared.url) as terminal:
        await terminal.shows("No matching jobs.")
        job_id = await shared.submit(WAITS.format(flag=str(flag)), experiment_name=name)
        await terminal.shows(f"{job_id}  running")
        flag.touch()
        await terminal.shows(f"{job_id}  completed")
        terminal.type(CTRL_C)
        assert await terminal.ended() == 130
    assert len([line for line in terminal.lines if job_id in line]) == 1
    assert not terminal.cursor_is_hidden


async def test_watch_as_json_prints_a_line_per_change(shared: Service, tmp_path: Path) -> None:
    flag, name = tmp_path / "flag", f"watched {secrets.token_hex(4)}"
    job_id = await shared.submit(WAITS.format(flag=str(flag)), experiment_name=name)
    await shared.phase(job_id, "running")
    async with running(
        tmp_path, "jobs", "-w", "--json", "--experiment", name, ASGARD_URL=shared.url
    ) as command:
        await command.printed(b'"running"')
        flag.touch()
        await command.printed(b'"completed"')
    lines = [json.loads(line) for line in command.stdout.splitlines()]
    assert {line["job_id"] for line in lines} == {job_id}
    assert (lines[0]["phase"], lines[-1]["phase"]) == ("running", "finished")


async def test_a_job_can_be_named_by_an_id_prefix(shared: Service) -> None:
    job_id = await shared.submit("print('found')")
    await shared.finished(job_id)
    assert output(shared, "logs", job_id[:7]) == "found\n"
    digits = {job_id[0]}
    # two of 17 jobs share their first digit
    while (digit := (await shared.submit("print()"))[0]) not in digits:
        digits.add(digit)
    done = asgard("show", digit, ASGARD_URL=shared.url)
    assert done.returncode == 1
    assert f"Several job IDs start with {digit}: " in done.stderr


async def test_an_unknown_job_suggests_the_newest(service: Service) -> None:
    assert "There are no jobs." in asgard("show", "00000000", ASGARD_URL=service.url).stderr
    job_id = await service.submit("print()")
    for command in ("show", "logs", "cancel", "retry", "rm"):
        done = asgard(command, "00000000", ASGARD_URL=service.url)
        assert done.returncode == 1
        assert "There is no job 00000000; `asgard jobs` lists the jobs." in done.stderr
        assert job_id in done.stderr


async def test_jobs_are_cancelled_retried_and_removed(shared: Service, tmp_path: Path) -> None:
    flag = tmp_path / "flag"
    job_id = await shared.submit(WAITS.format(flag=str(flag)))
    done = asgard("rm", job_id, ASGARD_URL=shared.url)
    assert done.returncode == 1
    assert "Error: " in done.stderr
    (cancelled,) = parsed(shared, "cancel", job_id)
    assert cancelled["job_id"] == job_id
    await shared.finished(job_id)
    assert output(shared, "cancel", job_id) == f"Cancelled job {job_id}.\n"
    flag.touch()
    again = output(shared, "retry", job_id).strip()
    assert (await shared.job(again))["retry_of"] == job_id
    assert parsed(shared, "retry", job_id)["retry_of"] == job_id
    assert output(shared, "rm", job_id) == f"Deleted job {job_id}.\n"
    await shared.finished(again)
    assert parsed(shared, "rm", again) == [again]


async def test_logs_are_read_by_line_and_by_offset(shared: Service) -> None:
    job_id = await shared.submit("for n in range(1000): print(n)")
    await shared.finished(job_id)
    whole = "".join(f"{n}\n" for n in range(1000))
    assert output(shared, "logs", job_id) == whole
    assert output(shared, "logs", "-f", job_id) == whole
    assert output(shared, "logs", "--tail", "2", job_id) == "998\n999\n"
    assert output(shared, "logs", "-f", "--tail", "2", job_id) == "998\n999\n"
    assert output(shared, "logs", "--offset", "3880", job_id) == whole[3880:]
    done = asgard("logs", "--offset", "1", "--tail", "1", job_id, ASGARD_URL=shared.url)
    assert done.returncode == 2


async def test_logs_are_printed_as_json_lines(shared: Service) -> None:
    job_id = await shared.submit("print('a'); print('é')")
    await shared.finished(job_id)
    (piece,) = [json.loads(line) for line in output(shared, "logs", "--json", job_id).splitlines()]
    assert (piece["offset"], piece["next"], piece["text"]) == (0, 5, "a\né\n")
    followed = output(shared, "logs", "-f", "--json", job_id).splitlines()
    events = [json.loads(line) for line in followed]
    assert "".join(event.get("text", "") for event in events) == "a\né\n"
    assert events[-1]["type"] == "end"
    assert events[-1]["reason"] == "succeeded"


async def test_status_shows_the_bounds_of_timeouts(shared: Service) -> None:
    _, status = await shared.get("/mlops/status")
    bounds = status["timeout"]
    within = f"{bounds['min']} to {bounds['max']}"
    assert f"{bounds['default']} s unless a job asks for another, {within} s" in " ".join(
        output(shared, "status").split()
    )
    assert parsed(shared, "status")["timeout"] == bounds
    assert "asgard status" in " ".join(asgard("run", "--help").stdout.split())
    _, refused = await shared.upload("print()", timeout=bounds["max"] + 1)
    (message,) = refused["errors"]["timeout"]
    assert message.startswith(f"Must be {within} seconds; the administrator sets")


async def test_status_shows_an_unreachable_mlflow(shared: Service) -> None:
    state = parsed(shared, "status")
    assert (state["asgard_api"], state["ready"]) == ("accessible", True)
    assert shared.url in output(shared, "status")
    done = asgard("models", ASGARD_URL=shared.url)
    assert done.returncode == 1
    assert "MLflow" in done.stderr


@pytest.mark.parametrize(
    "arguments",
    [("jobs",), ("show", "1"), ("logs", "1"), ("cancel", "1"), ("models",), ("status",)],
)
def test_without_a_service_commands_say_how_to_start_one(arguments: tuple[str, ...]) -> None:
    done = asgard(*arguments, "--url", "http://127.0.0.1:1")
    assert done.returncode == 1
    assert "asgard serve" in done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize("url", ["nonsense", "ftp://127.0.0.1", "http://"])
def test_an_invalid_url_is_a_usage_error(url: str) -> None:
    done = asgard("jobs", ASGARD_URL=url)
    assert done.returncode == 2
    assert "http://" in done.stderr


async def test_an_unknown_api_path_is_explained(shared: Service) -> None:
    done = asgard("jobs", ASGARD_URL=f"{shared.url}/elsewhere")
    assert done.returncode == 1
    assert f"Is {shared.url}/elsewhere the address of an Asgard service?" in done.stderr


async def test_one_failure_does_not_stop_the_other_jobs(shared: Service, tmp_path: Path) -> None:
    ids = [await shared.submit(WAITS.format(flag=str(tmp_path / "flag"))) for _ in range(2)]
    arguments = (ids[0], "00000000", ids[1])
    done = asgard("cancel", *arguments, ASGARD_URL=shared.url)
    assert done.returncode == 1
    assert done.stdout == "".join(f"Cancelled job {job_id}.\n" for job_id in ids)
    assert "00000000" in done.stderr
    for job_id in ids:
        await shared.finished(job_id)
    done = asgard("rm", *arguments, "--json", ASGARD_URL=shared.url)
    assert (done.returncode, json.loads(done.stdout)) == (1, ids)


async def test_an_unwritable_output_is_reported_in_one_line(shared: Service) -> None:
    job_id = await shared.submit("print('x' * 100_000)")
    await shared.finished(job_id)
    full = os.open("/dev/full", os.O_WRONLY)
    try:
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "asgard_async", "logs", job_id, "--url", shared.url),
            stdout=full,
            stderr=asyncio.subprocess.PIPE,
        )
        _, stderr = await process.communicate()
    finally:
        os.close(full)
    assert (process.returncode, stderr) == (1, b"Error: No space left on device\n")


PRINTS = "import os; print(*(os.environ.get(name) for name in 'ABC'))"


async def test_an_administrator_adds_to_a_job_without_its_variables(service: Service) -> None:
    tokens = TokenFile(DataDirectory(root=service.data_dir).tokens)
    secrets = {
        name: tokens.create(name=name, scope=scope, at=now()).secret
        for name, scope in (("ada", Scope.SUBMIT), ("root", Scope.ADMIN))
    }
    service.session.headers["Authorization"] = f"Bearer {secrets['ada']}"
    job_id = await service.submit(PRINTS, environment_vars={"A": "1", "B": "2"})
    service.session.headers["Authorization"] = f"Bearer {secrets['root']}"
    changes = {"environment_vars": {"C": "3"}}
    _, retried = await service.post(f"/mlops/training/jobs/{job_id}/retry", json=changes)
    assert retried["omitted"] == ["environment_vars"]
    job = await service.finished(retried["job_id"])
    assert job["logs"] == "None None 3\n"
    detail = job["history"][0]["detail"]
    assert detail.startswith(f"differs from job {job_id} in environment_vars.C; without the")
