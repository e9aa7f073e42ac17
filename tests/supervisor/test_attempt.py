"""Attempts: a real shim and keeper around real scripts."""

import os
import signal
from pathlib import Path

import pytest

from asgard_async.domain.attempt import End
from asgard_async.domain.status import ColdReason
from asgard_async.supervisor.shim import files
from tests.support.eventually import eventually
from tests.support.fork_servers import fork_server
from tests.support.started_attempt import StartedAttempt

pytestmark = [pytest.mark.asyncio(loop_scope="module"), pytest.mark.slow]


@pytest.mark.parametrize(
    ("script", "exit_code", "signal_number"),
    [
        ("print('fine')", 0, None),
        ("raise SystemExit(1)", 1, None),
        ("raise SystemExit(137)", 137, None),
        ("import os; os.kill(os.getpid(), 9)", None, signal.SIGKILL),
        ("import os; os.kill(os.getpid(), 11)", None, signal.SIGSEGV),
    ],
)
async def test_exit_codes_and_signals_are_distinguished(
    started: StartedAttempt, script: str, exit_code: int | None, signal_number: int | None
) -> None:
    ended = await started.run(script)
    assert (ended.end, ended.exit_code, ended.signal) == (End.EXITED, exit_code, signal_number)
    assert ended.stop is None
    assert ended.started is not None
    assert ended.ended_at is not None
    assert ended.started.at <= ended.ended_at


async def test_usage_of_job_and_children_is_reported(started: StartedAttempt) -> None:
    ended = await started.run("x = bytearray(80 << 20)\nsum(range(10**6))")
    assert ended.peak_memory_bytes is not None
    assert ended.peak_memory_bytes > 80 << 20
    assert ended.cpu_seconds
    assert ended.cpu_seconds > 0


async def test_stdout_and_stderr_arrive_in_order(started: StartedAttempt) -> None:
    script = "import sys\nfor i in range(50):\n print(i)\n print(i, file=sys.stderr)"
    await started.run(script)
    assert started.output().split() == [str(i // 2) for i in range(100)]


async def test_the_script_sees_what_it_sees_by_hand(started: StartedAttempt) -> None:
    script = """
import os, signal, sys
print(sys.argv, __name__, __file__ == os.path.abspath("train.py"))
print(sys.path[0] == os.getcwd(), os.umask(0) == 0o022, sys.stdin.read() == "")
print(signal.getsignal(signal.SIGINT) is signal.default_int_handler)
print([signal.getsignal(n) for n in (signal.SIGTERM, signal.SIGHUP, signal.SIGUSR1)])
print(signal.pthread_sigmask(signal.SIG_BLOCK, []), sorted(os.listdir("/proc/self/fd"))[:4])
print(os.getsid(0) == os.getpid())
"""
    await started.run(script)
    assert started.output().splitlines() == [
        "['train.py'] __main__ True",
        "True True True",
        "True",
        "[<Handlers.SIG_DFL: 0>, <Handlers.SIG_DFL: 0>, <Handlers.SIG_DFL: 0>]",
        "set() ['0', '1', '2', '3']",  # 3 is the listing itself
        "True",
    ]


async def test_an_attempt_never_starts_twice(started: StartedAttempt) -> None:
    spec = started.spec("open('runs', 'a').write('x')")
    first = await started.start(spec)
    await started.attempt.wait()
    assert first is not None
    assert await started.start(spec) is None
    assert (await started.attempt.wait()).exit_code == 0
    assert (started.directory / "work" / "runs").read_text() == "x"


async def test_a_running_attempt_is_not_started_again(started: StartedAttempt) -> None:
    spec = started.spec("open('runs', 'a').write('x')\nimport time; time.sleep(60)")
    await started.start(spec)
    runs = started.directory / "work" / "runs"
    await eventually(lambda: runs.exists() and runs.read_text(), what="script runs")
    assert await started.start(spec) is None
    await started.attempt.stop()
    await started.attempt.wait()
    assert runs.read_text() == "x"


async def test_a_locked_attempt_is_not_started(started: StartedAttempt) -> None:
    lock = files.try_lock(str(started.directory))
    assert lock is not None
    assert await started.start(started.spec("print('never')")) is None
    os.close(lock)
    assert (await started.attempt.wait()).end is End.NOT_STARTED
    assert not started.log.exists()


async def test_a_late_shim_does_not_start_the_job(started: StartedAttempt) -> None:
    assert (await started.attempt.wait()).end is End.NOT_STARTED
    assert await started.start(started.spec("print('never')")) is None
    assert (await started.attempt.wait()).end is End.NOT_STARTED
    assert not started.log.exists()


async def test_stopping_before_the_start_prevents_it(started: StartedAttempt) -> None:
    await started.attempt.stop()
    assert await started.start(started.spec("print('never')")) is None
    assert (await started.attempt.wait()).end is End.NOT_STARTED


async def test_a_program_that_cannot_be_executed_is_reported(tmp_path: Path) -> None:
    ended = await StartedAttempt(tmp_path / "1", None).run(
        "", argv=["/nonexistent/python", "train.py"]
    )
    assert ended.end is End.START_FAILED
    assert ended.error
    assert "No such file" in ended.error


async def test_a_hung_fork_server_is_killed_for_a_cold_start(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("asgard_async.supervisor.attempt.FORK_SECONDS", 0.2)
    async with fork_server(tmp_path / "server") as server:
        os.kill(server.pid, signal.SIGSTOP)
        started = StartedAttempt(tmp_path / "1", server)
        ended = await started.run("open('runs', 'a').write('x')")
        await server.ended()
    assert (ended.end, ended.exit_code) == (End.EXITED, 0)
    assert ended.started is not None
    assert ended.started.cold_reason is ColdReason.SERVER_LOST
    assert (tmp_path / "1" / "work" / "runs").read_text() == "x"


async def test_memory_limit_raises_memory_error_in_the_script(started: StartedAttempt) -> None:
    ended = await started.run("x = bytearray(1 << 30)", memory_limit=512 << 20)
    assert ended.exit_code == 1
    assert started.output().endswith("MemoryError\n")


async def test_no_command_line_shows_the_job_environment(started: StartedAttempt) -> None:
    spec = started.spec("import time; time.sleep(60)", environment={"SECRET": "s3cr3t-canary"})
    await started.start(spec)
    for pid in started.pids().values():
        assert b"s3cr3t-canary" not in Path(f"/proc/{pid}/cmdline").read_bytes()
    assert b"s3cr3t-canary" not in b"".join(
        path.read_bytes() for path in started.directory.rglob("*") if path.is_file()
    )
    await started.attempt.stop()
    await started.attempt.wait()


async def test_the_log_keeps_beginning_and_end_within_limits(started: StartedAttempt) -> None:
    limit = 256 << 10
    lines = "import sys\nfor i in range(200_000): sys.stdout.write(f'line {i}\\n')"
    await started.run(lines, log_limit=limit, environment={})
    size = sum(len(f"line {i}\n") for i in range(200_000))
    assert started.log.stat().st_size == size
    assert started.log.stat().st_blocks * 512 <= limit
    data = started.log.read_bytes()
    assert data.startswith(b"line 0\nline 1\n")
    assert data.endswith(b"line 199998\nline 199999\n")
