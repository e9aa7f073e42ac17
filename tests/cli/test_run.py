"""`asgard run` in pipelines and CI: exact output, exit codes, signals, restarts."""

import ast
import asyncio
import json
import os
import secrets
import signal
from pathlib import Path

import pytest

from tests.support.asgard_command import running
from tests.support.eventually import eventually
from tests.support.preloaded_command import asgard
from tests.support.service import WITHOUT_MLFLOW, Service, running_service

pytestmark = pytest.mark.service

# every byte value, half a character, progress bars, control sequences
BYTES = bytes(range(256)) + "é漢\r 50%|█\r100%|██\x1b]0;t\x07\n".encode() + b"\xe6\xbc"
WRITES_BYTES = f"import sys\nsys.stdout.buffer.write({BYTES!r})\n"

WAITS = """
import time, pathlib
print("waiting", flush=True)
while not pathlib.Path({flag!r}).exists():
    time.sleep(0.02)
print("went on", flush=True)
"""


def unique_script(folder: Path) -> Path:
    """A script file whose name no other test uses."""
    return folder / f"train_{secrets.token_hex(4)}.py"


@pytest.fixture
def script(tmp_path: Path) -> Path:
    return unique_script(tmp_path)


async def job_of(service: Service, script: Path) -> str:
    """The id of the job of a script, which names its experiment, once it is accepted."""

    async def accepted() -> str | None:
        query = {"experiment_name": script.stem}
        _, page = await service.get("/mlops/training/jobs", params=query)
        return page["jobs"][0]["job_id"] if page["jobs"] else None

    return await eventually(accepted, what="a job is there")


async def test_stdout_is_the_log_byte_for_byte(
    shared: Service, tmp_path: Path, script: Path
) -> None:
    script.write_text(WRITES_BYTES)
    async with running(tmp_path, "run", script, ASGARD_URL=shared.url) as command:
        assert await command.ended() == 0
    assert command.stdout == BYTES
    job_id = await job_of(shared, script)
    assert f"asgard: Submitted job {job_id}" in command.stderr
    assert "completed after" in command.stderr
    assert "\x1b" not in command.stderr
    async with running(tmp_path, "logs", job_id, "--url", shared.url) as command:
        assert await command.ended() == 0
    assert command.stdout == BYTES


@pytest.mark.parametrize(
    ("source", "options", "code", "says"),
    [
        ("print('well')", (), 0, "completed"),
        ("import sys; sys.exit(7)", (), 7, "exited with code 7"),
        ("raise ValueError('no')", (), 1, "ValueError: no"),
        ("import os; os.kill(os.getpid(), 9)", (), 137, "SIGKILL"),
        ("import time; time.sleep(60)", ("--timeout", "1"), 124, "timeout"),
        ("print()", ("-r", "no-such-package-of-asgard"), 125, "environment failed"),
    ],
)
async def test_the_exit_code_reflects_the_outcome(
    shared: Service, script: Path, source: str, options: tuple[str, ...], code: int, says: str
) -> None:
    script.write_text(source)
    done = await asyncio.to_thread(asgard, "run", script, *options, ASGARD_URL=shared.url)
    assert done.returncode == code, done.stderr
    assert says in done.stderr


async def test_a_job_cancelled_elsewhere_exits_with_130(
    shared: Service, tmp_path: Path, script: Path
) -> None:
    script.write_text(WAITS.format(flag=str(tmp_path / "never")))
    async with running(tmp_path, "run", script, ASGARD_URL=shared.url) as command:
        await command.printed(b"waiting")
        job_id = await job_of(shared, script)
        done = await asyncio.to_thread(asgard, "cancel", job_id, ASGARD_URL=shared.url)
        assert done.stdout == f"Cancelled job {job_id}.\n"
        assert await command.ended() == 130


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
async def test_without_a_terminal_a_signal_cancels_the_job(
    shared: Service, tmp_path: Path, script: Path, number: int
) -> None:
    script.write_text(WAITS.format(flag=str(tmp_path / "never")))
    async with running(tmp_path, "run", script, ASGARD_URL=shared.url) as command:
        await command.printed(b"waiting")
        command.signal(number)
        assert await command.ended() == 130
    assert "Cancelling" in command.stderr
    assert (await shared.finished(await job_of(shared, script)))["status"] == "cancelled"


async def test_a_second_signal_exits_at_once(tmp_path: Path, script: Path) -> None:
    script.write_text(
        "import signal, time\nsignal.signal(signal.SIGTERM, signal.SIG_IGN)\n"
        "print('waiting', flush=True)\ntime.sleep(60)"
    )
    settings = {**WITHOUT_MLFLOW, "ASGARD_JOBS__STOP_GRACE_SECONDS": "30"}
    async with (
        running_service(tmp_path / "data", settings) as service,
        running(tmp_path, "run", script, ASGARD_URL=service.url) as command,
    ):
        await command.printed(b"waiting")
        command.signal(signal.SIGINT)
        await service.phase(await job_of(service, script), "stopping")
        command.signal(signal.SIGINT)
        assert await command.ended() == 125
    assert "Detached; the job is being stopped" in command.stderr


async def test_a_hang_up_leaves_the_job_running(
    shared: Service, tmp_path: Path, script: Path
) -> None:
    flag = tmp_path / "flag"
    script.write_text(WAITS.format(flag=str(flag)))
    async with running(tmp_path, "run", script, ASGARD_URL=shared.url) as command:
        await command.printed(b"waiting")
        command.signal(signal.SIGHUP)
        assert await command.ended() == 125
    flag.touch()
    job = await shared.finished(await job_of(shared, script))
    assert (job["status"], job["logs"]) == ("completed", "waiting\nwent on\n")


async def test_a_closed_pipe_leaves_the_job_running(
    shared: Service, tmp_path: Path, script: Path
) -> None:
    script.write_text("for n in range(30_000): print(n)")
    reading, writing = os.pipe()
    async with running(tmp_path, "run", script, stdout=writing, ASGARD_URL=shared.url) as command:
        os.close(writing)
        os.close(reading)
        assert await command.ended() == 125
    assert "Traceback" not in command.stderr
    assert "cannot be written: Broken pipe" in command.stderr
    assert (await shared.finished(await job_of(shared, script)))["status"] == "completed"


async def test_signals_work_while_the_output_is_blocked(
    shared: Service, tmp_path: Path, script: Path
) -> None:
    script.write_text("for n in range(30_000): print(n)")
    reading, writing = os.pipe()
    try:
        async with running(
            tmp_path, "run", script, stdout=writing, ASGARD_URL=shared.url
        ) as command:
            os.close(writing)
            await shared.finished(await job_of(shared, script))
            command.signal(signal.SIGHUP)
            assert await command.ended() == 125
    finally:
        os.close(reading)


async def test_a_service_restart_loses_and_repeats_nothing(
    service: Service, tmp_path: Path, script: Path
) -> None:
    flags = [str(tmp_path / f"flag{n}") for n in range(2)]
    script.write_text(
        "import pathlib, sys, time\n"
        f"for flag in {flags!r}:\n"
        "    for n in range(1000): print(n, flag, '漢é' * 3)\n"
        f"    sys.stdout.flush(); sys.stdout.buffer.write({BYTES!r}); sys.stdout.flush()\n"
        "    while not pathlib.Path(flag).exists(): time.sleep(0.02)\n"
        "sys.exit(5)\n"
    )
    async with running(tmp_path, "run", script, ASGARD_URL=service.url) as command:
        for number, flag in enumerate(flags):
            await command.printed(f"999 {flag}".encode())
            if number == 1:
                await service.end()
            else:
                await service.kill()
            Path(flag).touch()
            await command.reported("Connection lost")
            await service.start()
        assert await command.ended() == 5
    job_id = await job_of(service, script)
    async with service.session.get(f"{service.url}/mlops/training/jobs/{job_id}/logs") as answer:
        assert command.stdout == await answer.read()
    assert command.stdout.count(BYTES) == 2
    assert "Reconnected; the log is complete" in command.stderr


async def test_options_reach_the_job(shared: Service, tmp_path: Path, script: Path) -> None:
    script.write_text("import os; print(os.environ['A'], os.environ['B'], os.environ['C'])")
    listed = tmp_path / "requirements.txt"
    listed.write_text("# ours\naiohttp  # the client\n\nclick>=8\n")
    done = asgard(
        *("run", script, "--experiment", "E", "--model", "M", "--detach", "--no-warm"),
        *("-r", "packaging", "--requirements", listed, "--timeout", "77", "--priority", "5"),
        *("--env", "A=1=2", "--env", "B", "--env", "C=", "--tag", "team=docs", "--tag", "x="),
        ASGARD_URL=shared.url,
        B="of here",
    )
    assert done.returncode == 0, done.stderr
    job = await shared.finished(done.stdout.strip())
    assert job["logs"] == "1=2 of here \n"
    assert (job["experiment_name"], job["model_name"]) == ("E", "M")
    assert job["requirements"] == ["packaging", "aiohttp", "click>=8"]
    assert (job["timeout"], job["priority"], job["warm"]) == (77, 5, False)
    assert job["tags"] == {"team": "docs", "x": ""}


async def test_requirements_files_of_windows_with_includes_are_read(
    shared: Service, tmp_path: Path, script: Path
) -> None:
    script.write_text("print()")
    (tmp_path / "requirements.txt").write_bytes("-r base.txt\r\nclick\t# why\r\n".encode("utf-16"))
    (tmp_path / "base.txt").write_bytes(b"\xef\xbb\xbfaiohttp \\\r\n")
    done = asgard(
        *("run", script, "--detach", "--requirements", tmp_path / "requirements.txt"),
        ASGARD_URL=shared.url,
    )
    job = await shared.finished(done.stdout.strip())
    assert job["requirements"] == ["aiohttp", "click"]


async def test_an_unreadable_requirements_file_is_one_line(
    shared: Service, tmp_path: Path, script: Path
) -> None:
    script.write_text("print()")
    file = tmp_path / "requirements.txt"
    file.write_bytes("numpy".encode("utf-16-le"))
    done = asgard("run", script, "--requirements", file, ASGARD_URL=shared.url)
    assert done.returncode == 125
    assert done.stderr.count("\n") == 1
    assert "requirements.txt: The file contains NUL characters" in done.stderr


async def test_names_default_to_the_file_name(shared: Service, tmp_path: Path) -> None:
    script = tmp_path / "churn.v2.py"
    script.write_text("print()")
    done = asgard("run", script, "--detach", "--json", ASGARD_URL=shared.url)
    job = json.loads(done.stdout)
    assert (job["experiment_name"], job["model_name"]) == ("churn.v2", "churn.v2")


async def test_links_of_a_directory_are_sent_or_named(shared: Service, tmp_path: Path) -> None:
    project = tmp_path / "project"
    (project / "wandb/run-1").mkdir(parents=True)
    (project / "wandb/latest-run").symlink_to("run-1")
    (project / "hosts").symlink_to("/etc/hosts")
    (project / "outputs").mkdir()
    (project / "train.py").write_text("import os; open('outputs/x', 'w'); print(os.listdir())")
    done = asgard("run", project, "--entrypoint", "train.py", ASGARD_URL=shared.url)
    assert done.returncode == 0, done.stderr
    assert sorted(ast.literal_eval(done.stdout)) == ["outputs", "train.py", "wandb"]
    assert (
        "Left out of the upload: hosts (a link that leads out of the directory).\n" in done.stderr
    )


async def test_a_directory_runs_with_its_entrypoint(shared: Service, tmp_path: Path) -> None:
    project = tmp_path / "project"
    (project / "src").mkdir(parents=True)
    (project / "src" / "train.py").write_text("import part; print(part.WORD)")
    (project / "src" / "part.py").write_text("WORD = 'together'")
    done = asgard("run", project, "--entrypoint", "src/train.py", ASGARD_URL=shared.url)
    assert (done.returncode, done.stdout) == (0, "together\n"), done.stderr
    done = asgard("run", project / "src" / "part.py", "--entrypoint", "x.py", ASGARD_URL=shared.url)
    assert done.returncode == 125
    assert "--entrypoint is only for" in done.stderr


@pytest.mark.parametrize(
    ("number", "message"), [("x", "Invalid number 'x'"), ("0", "0.0 is not in the range")]
)
def test_an_invalid_number_of_cpus_is_refused(script: Path, number: str, message: str) -> None:
    script.write_text("print()")
    done = asgard("run", script, "--cpus", number)
    assert done.returncode == 2
    assert message in done.stderr


async def test_json_prints_the_job_and_logs_to_stderr(shared: Service, script: Path) -> None:
    script.write_text("import sys; print('from the job'); sys.exit(4)")
    done = asgard("run", script, "--json", ASGARD_URL=shared.url)
    assert done.returncode == 4
    assert json.loads(done.stdout)["exit_code"] == 4
    assert "from the job\n" in done.stderr


async def test_rejected_fields_are_shown_by_name(shared: Service, script: Path) -> None:
    script.write_text("print()")
    done = asgard("run", script, "--priority", "101", "--env", "PATH=x", ASGARD_URL=shared.url)
    assert done.returncode == 125
    assert "The submission is not valid:\n" in done.stderr
    assert "\n  priority: Must be" in done.stderr
    assert "\n  environment_vars.PATH: Reserved: Asgard sets" in done.stderr
    script.write_text("print(")
    done = asgard("run", script, ASGARD_URL=shared.url)
    assert done.returncode == 125
    assert "\n  script_content: SyntaxError" in done.stderr


@pytest.mark.parametrize(
    ("option", "message"),
    [
        (("--env", "NO_SUCH"), "the variable NO_SUCH is not set here; pass a value as NO_SUCH=…"),
        (("--tag", "word"), "word has no value; write word=…"),
    ],
)
def test_a_pair_without_value_is_a_usage_error(
    script: Path, option: tuple[str, str], message: str
) -> None:
    script.write_text("")
    done = asgard("run", script, *option)
    assert done.returncode == 2
    assert f"'{option[0]}': {message}" in done.stderr


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("data.csv", "data.csv is data, not a Python script. Put it into a directory"),
        ("train.sh", "train.sh is a shell script, not a Python script. Pass the Python script it"),
        ("model.PKL", "model.PKL is a model, not a Python script."),
    ],
)
def test_other_files_are_refused_with_what_was_meant(
    tmp_path: Path, name: str, message: str
) -> None:
    (tmp_path / name).write_text("a,b\n1,2\n")  # valid Python, as it happens
    done = asgard("run", tmp_path / name)
    assert done.returncode == 125
    assert message in done.stderr


async def test_a_key_submits_only_once(shared: Service, script: Path) -> None:
    script.write_text("print()")
    command = ("run", script, "--detach", "--idempotency-key", secrets.token_hex(8))
    first, second = (asgard(*command, ASGARD_URL=shared.url) for _ in range(2))
    assert first.returncode == second.returncode == 0, first.stderr + second.stderr
    assert first.stdout == second.stdout


def test_without_a_service_it_says_how_to_start_one(script: Path) -> None:
    script.write_text("")
    done = asgard("run", script, ASGARD_URL="http://127.0.0.1:1")
    assert done.returncode == 125
    assert "asgard serve" in done.stderr
