"""The contract of executors: every implementation passes these tests."""

import asyncio
import signal
from contextlib import AsyncExitStack
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from asgard_async.domain.attempt import AttemptId, End, Stop
from asgard_async.domain.resources import ResourceRequest
from asgard_async.executors.base import (
    AttemptRequest,
    CannotStart,
    EnvironmentFailed,
    Executor,
)
from asgard_async.logs.feed import Feeds
from asgard_async.logs.reader import LogReader
from tests.executors.conftest import Site
from tests.support.archives import zip_of
from tests.support.eventually import eventually

pytestmark = pytest.mark.slow

ATTEMPT = AttemptId(job_id="0000000a", number=1)
JOB = ATTEMPT.job_id
FOREVER = "import time\nprint('up', flush=True)\nwhile True: time.sleep(60)"
STUBBORN = f"import signal\nsignal.signal(signal.SIGTERM, signal.SIG_IGN)\n{FOREVER}"


def request(script: str = "print('hello')", **changes: Any) -> AttemptRequest:
    fields: dict[str, Any] = {
        "attempt": ATTEMPT,
        "script_name": "train.py",
        "script": script.encode(),
        "variables": {},
        "timeout": 60,
        "grace": 0.3,
    }
    return AttemptRequest(**(fields | changes))


async def log_of(executor: Executor) -> str:
    return b"".join([piece async for piece in LogReader(executor.logs).whole(JOB)]).decode()


async def prints(executor: Executor, text: str) -> None:
    async def printed() -> bool:
        return text in await log_of(executor)

    await eventually(printed, what=f"the attempt prints {text!r}")


async def test_an_attempt_without_output_has_a_log(executor: Executor) -> None:
    assert not await executor.logs.exists(JOB)
    await executor.start(request("pass"))
    assert await executor.logs.exists(JOB)
    await executor.wait(ATTEMPT)
    assert (await executor.logs.exists(JOB), await log_of(executor)) == (True, "")


# --- outcomes ---------------------------------------------------------------------------------


@pytest.mark.parametrize("code", [0, 3, 137])
async def test_an_exit_code_is_reported(executor: Executor, code: int) -> None:
    before = datetime.now(UTC)
    await executor.ready()
    started_at = await executor.start(request(f"raise SystemExit({code})"))
    ended = await executor.wait(ATTEMPT)
    assert (ended.end, ended.exit_code, ended.signal) == (End.EXITED, code, None)
    assert (ended.stop, ended.error) == (None, None)
    assert ended.started is not None
    assert started_at is not None
    assert ended.ended_at is not None
    assert before <= started_at <= ended.ended_at <= datetime.now(UTC)
    assert abs((ended.started.at - started_at).total_seconds()) < 1


async def test_a_signal_is_reported(executor: Executor) -> None:
    await executor.start(request("import os, signal\nos.kill(os.getpid(), signal.SIGSEGV)"))
    ended = await executor.wait(ATTEMPT)
    assert (ended.end, ended.exit_code, ended.signal) == (End.EXITED, None, signal.SIGSEGV)


async def test_a_timeout_stops_the_attempt(executor: Executor) -> None:
    await executor.start(request(FOREVER, timeout=0.2))
    ended = await executor.wait(ATTEMPT)
    assert (ended.end, ended.stop, ended.killed) == (End.EXITED, Stop.TIMEOUT, False)
    assert ended.signal == signal.SIGTERM


async def test_a_running_attempt_can_be_stopped(executor: Executor) -> None:
    await executor.start(request(FOREVER))
    await prints(executor, "up")
    await executor.stop(ATTEMPT)
    ended = await executor.wait(ATTEMPT)
    assert (ended.end, ended.stop, ended.killed) == (End.EXITED, Stop.REQUESTED, False)


async def test_an_attempt_is_killed_after_its_grace(executor: Executor) -> None:
    await executor.start(request(STUBBORN))
    await prints(executor, "up")
    await executor.stop(ATTEMPT)
    ended = await executor.wait(ATTEMPT)
    assert (ended.stop, ended.killed, ended.signal) == (Stop.REQUESTED, True, signal.SIGKILL)


async def test_stopping_an_ended_attempt_changes_nothing(executor: Executor) -> None:
    await executor.start(request())
    ended = await executor.wait(ATTEMPT)
    await executor.stop(ATTEMPT)
    assert await executor.wait(ATTEMPT) == ended


async def test_a_killed_attempt_is_lost(executor: Executor, site: Site) -> None:
    await executor.start(request(FOREVER))
    await prints(executor, "up")
    site.crash(ATTEMPT)
    ended = await executor.wait(ATTEMPT)
    assert (ended.end, ended.exit_code, ended.signal) == (End.LOST, None, None)
    assert ended.started is not None


# --- starts -----------------------------------------------------------------------------------


async def test_an_attempt_starts_at_most_once(executor: Executor) -> None:
    again = request("print('once', flush=True)")
    await asyncio.gather(*(executor.start(again) for _ in range(3)))
    await executor.wait(ATTEMPT)
    assert await executor.start(again) is None
    assert await log_of(executor) == "once\n"


async def test_waiting_rules_out_an_attempt_nobody_started(executor: Executor) -> None:
    assert (await executor.wait(ATTEMPT)).end is End.NOT_STARTED
    assert await executor.start(request()) is None
    assert (await executor.wait(ATTEMPT)).end is End.NOT_STARTED
    assert await executor.started(ATTEMPT) is None
    assert await log_of(executor) == ""


async def test_an_attempt_stopped_before_its_start_never_runs(executor: Executor) -> None:
    await executor.stop(ATTEMPT)
    assert await executor.start(request()) is None
    assert (await executor.wait(ATTEMPT)).end is End.NOT_STARTED
    assert await log_of(executor) == ""


async def test_another_attempt_of_the_job_may_run(executor: Executor) -> None:
    await executor.start(request("print('first')"))
    await executor.wait(ATTEMPT)
    second = AttemptId(job_id=JOB, number=2)
    await executor.start(request("print('second')", attempt=second))
    assert (await executor.wait(second)).exit_code == 0
    assert await log_of(executor) == "first\nsecond\n"


async def test_a_program_that_cannot_be_executed_fails_to_start(executor: Executor) -> None:
    # longer than one variable may be (execve(2), MAX_ARG_STRLEN)
    await executor.start(request(variables={"LONG": "x" * (256 << 10)}))
    ended = await executor.wait(ATTEMPT)
    assert ended.end is End.START_FAILED
    assert "Argument list too long" in (ended.error or "")


async def test_a_missing_archive_cannot_be_started(executor: Executor, tmp_path: Path) -> None:
    with pytest.raises(CannotStart, match="archive"):
        await executor.start(request(archive=tmp_path / "missing.zip"))
    assert (await executor.wait(ATTEMPT)).end is End.NOT_STARTED


async def test_an_archive_is_unpacked_for_the_script(executor: Executor, tmp_path: Path) -> None:
    archive = tmp_path / "code.zip"
    archive.write_bytes(zip_of({"src/train.py": "import part", "src/part.py": "print('part')"}))
    await executor.start(request("", script_name="src/train.py", archive=archive))
    assert (await executor.wait(ATTEMPT)).exit_code == 0
    assert await log_of(executor) == "part\n"


async def test_the_script_gets_its_variables(executor: Executor) -> None:
    script = "import os\nprint(os.environ['GREETING'], 'HIDDEN' in os.environ)"
    await executor.start(request(script, variables={"GREETING": "hällo"}))
    await executor.wait(ATTEMPT)
    assert await log_of(executor) == "hällo False\n"


async def test_limits_follow_the_request(executor: Executor) -> None:
    assert executor.limits(ResourceRequest(memory_mb=64)).memory_bytes == 64 << 20
    assert executor.limits(ResourceRequest()).memory_bytes == 0


# --- environments -----------------------------------------------------------------------------


async def test_no_requirements_need_no_environment(executor: Executor) -> None:
    assert executor.environment_for([], job_id=JOB) is None


async def test_a_failed_environment_says_why(executor: Executor, site: Site) -> None:
    environment = executor.environment_for([site.unknown_requirement], job_id=JOB)
    assert environment is not None
    async with AsyncExitStack() as stack:
        with pytest.raises(EnvironmentFailed) as failed:
            await stack.enter_async_context(executor.environment(environment, job_id=JOB))
    assert str(failed.value)
    assert await log_of(executor)  # the output of the build


# --- restarts of the service ------------------------------------------------------------------


async def test_an_attempt_outlives_the_executor_object(site: Site, tmp_path: Path) -> None:
    go = tmp_path / "go"
    script = f"import os, time\nwhile not os.path.exists({str(go)!r}): time.sleep(0.01)\nexit(5)"
    async with site.opened() as first:
        started_at = await first.start(request(script))
        waiting = asyncio.create_task(first.wait(ATTEMPT))
        await asyncio.sleep(0)
        waiting.cancel()
        await asyncio.gather(waiting, return_exceptions=True)
    async with site.opened() as second:
        started = await second.started(ATTEMPT)
        assert started is not None
        assert started_at is not None
        assert abs((started.at - started_at).total_seconds()) < 1
        go.touch()
        ended = await second.wait(ATTEMPT)
    assert (ended.end, ended.exit_code) == (End.EXITED, 5)


async def test_an_end_without_a_service_is_known_later(site: Site) -> None:
    async with site.opened() as first:
        await first.start(request("print('done')\nraise SystemExit(4)"))
        await prints(first, "done")
    async with site.opened() as second:
        assert (await second.wait(ATTEMPT)).exit_code == 4
        assert await log_of(second) == "done\n"


async def test_a_stop_reaches_an_attempt_of_another_service(site: Site) -> None:
    async with site.opened() as first:
        await first.start(request(FOREVER))
        await prints(first, "up")
    async with site.opened() as second:
        await second.stop(ATTEMPT)
        assert (await second.wait(ATTEMPT)).stop is Stop.REQUESTED


# --- logs -------------------------------------------------------------------------------------


async def test_a_job_without_output_has_an_empty_log(executor: Executor) -> None:
    assert await executor.logs.size(JOB) == 0
    assert (await executor.logs.read(JOB, 0, 10)).data == b""
    assert (await executor.logs.tail(JOB, 10)).data == b""


async def test_a_log_is_read_by_offset(executor: Executor) -> None:
    data = bytes(range(256)) * 20
    script = "import sys\nsys.stdout.buffer.write(bytes(range(256)) * 20)"
    await executor.start(request(script))
    await executor.wait(ATTEMPT)
    assert await executor.logs.size(JOB) == len(data)
    read, offset = b"", 0
    while (part := await executor.logs.read(JOB, offset, 1000)).data:
        assert (part.offset, part.size) == (offset, len(data))
        assert part.next == offset + len(part.data)
        read, offset = read + part.data, part.next
    assert read == data
    beyond = await executor.logs.read(JOB, len(data) + 100, 10)
    assert (beyond.data, beyond.next) == (b"", len(data))
    assert (await executor.logs.tail(JOB, 100)).data == data[-100:]
    timed = await executor.logs.read_timed(JOB, 10, 100)
    assert timed.data == data[10:110]
    assert timed.parts[-1][0] == 110


async def test_invalid_utf_8_is_followed_as_replacements(executor: Executor) -> None:
    await executor.start(request("import sys\nsys.stdout.buffer.write(b'a\\xff\\xe2\\x82')"))
    await executor.wait(ATTEMPT)
    with Feeds(executor.logs).following(JOB, lambda: None) as feed:
        piece = await feed.piece(0, is_complete=True)
    assert piece.next == 4
    assert '"data":"a\ufffd\ufffd"'.encode() in b"".join(piece.frames)


async def test_a_follower_is_woken_by_output(executor: Executor) -> None:
    script = "import time\nfor n in range(3): print(n, flush=True); time.sleep(0.1)"
    woken = asyncio.Event()
    with Feeds(executor.logs).following(JOB, woken.set) as feed:
        await executor.start(request(script))
        offset = 0
        async with asyncio.timeout(30):
            while offset < len("0\n1\n2\n"):
                woken.clear()
                piece = await feed.piece(offset, is_complete=False)
                if not piece.frames:
                    await woken.wait()
                offset = piece.next
    await executor.wait(ATTEMPT)
    assert await log_of(executor) == "0\n1\n2\n"


# --- files ------------------------------------------------------------------------------------


async def test_files_of_a_job_are_measured_and_deleted(executor: Executor) -> None:
    await executor.start(request("open('made', 'w').write('x' * 100_000)\nprint('y' * 50_000)"))
    ended = await executor.wait(ATTEMPT)
    files = executor.files
    assert files.job_ids() == {JOB}
    assert files.directory_bytes(JOB) >= 100_000
    assert files.log_bytes(JOB) >= 50_000
    assert files.all_bytes(JOB) >= 150_000
    files.remove_directory(JOB, why="expired")
    assert files.directory_bytes(JOB) < 100_000
    assert len(await log_of(executor)) == 50_001
    files.remove_log(JOB)
    assert files.log_bytes(JOB) == 0
    assert await log_of(executor) == ""
    assert (await executor.wait(ATTEMPT)).exit_code == ended.exit_code == 0
    files.remove_all(JOB)
    assert files.job_ids() == set()


async def test_files_in_the_working_directory_are_listed(
    executor: Executor, tmp_path: Path
) -> None:
    archive = tmp_path / "code.zip"
    script = "import os\nos.mkdir('made')\nopen('made/result', 'w').close()"
    archive.write_bytes(zip_of({"src/train.py": script, "data/rows.csv": ""}))
    await executor.start(request("", script_name="src/train.py", archive=archive))
    await executor.wait(ATTEMPT)
    paths = await asyncio.to_thread(executor.files.paths, ATTEMPT)
    assert paths is not None
    assert sorted(paths) == ["data/rows.csv", "made/result", "src/train.py"]


async def test_removal_leaves_nothing_of_a_job(executor: Executor, tmp_path: Path) -> None:
    other = AttemptId(job_id="0000000b", number=1)
    for attempt in (ATTEMPT, other):
        await executor.start(request("open('made', 'w').close()\nprint('x')", attempt=attempt))
        await executor.wait(attempt)
    await executor.remove(JOB)
    await executor.remove(JOB)  # again
    assert await log_of(executor) == ""
    assert not [path for path in tmp_path.rglob("*") if JOB in path.name]
    assert await executor.logs.size(other.job_id) == 2
