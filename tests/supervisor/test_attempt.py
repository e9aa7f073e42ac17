"""Attempts: a real shim and keeper around real scripts."""

import os
import resource
import signal
import sys
from collections.abc import AsyncIterator
from datetime import datetime
from pathlib import Path
from typing import Any

import msgspec
import pytest
import pytest_asyncio

from asgard_async.domain.attempt import End, Ended, Stop
from asgard_async.domain.status import ColdReason
from asgard_async.supervisor.attempt import Attempt
from asgard_async.supervisor.keeper_server import ColdServers, KeeperServer
from asgard_async.supervisor.process_spec import READABLE_UMASK, process_spec
from asgard_async.supervisor.shim import files
from asgard_async.supervisor.shim.process_spec import ProcessSpec
from tests.support.eventually import eventually
from tests.support.fork_servers import fork_server
from tests.support.processes import processes_with, state_of

pytestmark = [pytest.mark.asyncio(loop_scope="module"), pytest.mark.slow]


class Started:
    """An attempt with a script in its own directory."""

    def __init__(self, directory: Path, server: KeeperServer | None) -> None:
        self.directory = directory
        self.server = server
        self.attempt = Attempt(directory)
        (directory / "work").mkdir(parents=True)

    def spec(self, script: str, **changes: Any) -> ProcessSpec:
        (self.directory / "work" / "train.py").write_text(script)
        spec = process_spec(
            directory=self.directory,
            argv=[sys.executable, "train.py"],
            environment={"PYTHONUNBUFFERED": "1", "MARK": str(self.directory)},
            working_directory=self.directory / "work",
            umask=READABLE_UMASK,
            log=self.log,
            log_limit_bytes=1 << 20,
            timeout_seconds=30,
            grace_seconds=0.3,
        )
        spec.update(changes)  # type: ignore[typeddict-item]
        return spec

    async def run(self, script: str, **changes: Any) -> Ended:
        await self.start(self.spec(script, **changes))
        return await self.attempt.wait()

    async def start(self, spec: ProcessSpec) -> datetime | None:
        return await self.attempt.start(spec, self.server)

    @property
    def log(self) -> Path:
        return self.directory / "job.log"

    def output(self) -> str:
        return self.log.read_text()

    def pids(self) -> dict[str, int]:
        facts = msgspec.json.decode((self.directory / files.PID).read_bytes())
        keeper = int((self.directory / files.LOCK).read_text().split()[0])
        return {"keeper": keeper, "shim": facts["shim_pid"], "job": facts["job_pid"]}


@pytest_asyncio.fixture(scope="module", loop_scope="module", params=["spawned", "cold", "warm"])
async def keeper_server(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> AsyncIterator[KeeperServer | None]:
    """The server that forks the keepers of all attempts, or None for spawned ones."""
    if request.param == "spawned":
        yield None
    elif request.param == "cold":
        cold = ColdServers()
        yield cold.server()
        cold.close()
    else:
        async with fork_server(tmp_path_factory.mktemp("server")) as server:
            yield server


@pytest_asyncio.fixture(loop_scope="module")
async def started(tmp_path: Path, keeper_server: KeeperServer | None) -> AsyncIterator[Started]:
    """A new attempt; fails the test if it leaves a process, or ends the server."""
    yield Started(tmp_path / "1", keeper_server)
    assert keeper_server is None or keeper_server.is_alive()
    await eventually(lambda: not processes_with(str(tmp_path)), what="no process left")


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
    started: Started, script: str, exit_code: int | None, signal_number: int | None
) -> None:
    ended = await started.run(script)
    assert (ended.end, ended.exit_code, ended.signal) == (End.EXITED, exit_code, signal_number)
    assert ended.stop is None
    assert ended.started is not None
    assert ended.ended_at is not None
    assert ended.started.at <= ended.ended_at


async def test_usage_of_job_and_children_is_reported(started: Started) -> None:
    ended = await started.run("x = bytearray(80 << 20)\nsum(range(10**6))")
    assert ended.peak_memory_bytes is not None
    assert ended.peak_memory_bytes > 80 << 20
    assert ended.cpu_seconds
    assert ended.cpu_seconds > 0


async def test_stdout_and_stderr_arrive_in_order(started: Started) -> None:
    script = "import sys\nfor i in range(50):\n print(i)\n print(i, file=sys.stderr)"
    await started.run(script)
    assert started.output().split() == [str(i // 2) for i in range(100)]


async def test_the_script_sees_what_it_sees_by_hand(started: Started) -> None:
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


async def test_timeout_stops_the_script(started: Started) -> None:
    ended = await started.run("import time; time.sleep(60)", timeout=0.2)
    assert (ended.stop, ended.signal, ended.killed) == (Stop.TIMEOUT, signal.SIGTERM, False)


async def test_ignoring_sigterm_ends_in_a_kill_after_the_grace(started: Started) -> None:
    script = "import signal, time\nsignal.signal(15, signal.SIG_IGN)\nprint('up')\ntime.sleep(60)"
    await started.start(started.spec(script))
    await eventually(lambda: "up\n" in started.output(), what="script is up")
    await started.attempt.stop()
    ended = await started.attempt.wait()
    assert (ended.stop, ended.signal, ended.killed) == (Stop.REQUESTED, signal.SIGKILL, True)


async def test_a_stopped_script_may_choose_its_exit_code(started: Started) -> None:
    script = """
import signal, sys, time
signal.signal(15, lambda *_: (print("saved"), sys.exit(3)))
print("up")
time.sleep(60)
"""
    await started.start(started.spec(script))
    await eventually(lambda: "up\n" in started.output(), what="script is up")
    await started.attempt.stop()
    ended = await started.attempt.wait()
    assert (ended.stop, ended.exit_code, ended.killed) == (Stop.REQUESTED, 3, False)
    assert started.output() == "up\nsaved\n"


async def test_hidden_children_do_not_outlive_the_job(started: Started) -> None:
    # new sessions, a double fork, a cleared environment, SIGTERM ignored
    script = """
import os, signal, time
for hide in range(4):
    if os.fork() == 0:
        signal.signal(15, signal.SIG_IGN)
        if hide: os.setsid()
        if hide > 1 and os.fork(): os._exit(0)
        if hide > 2: os.execve("/bin/sleep", ["sleep", "60"], {})
        time.sleep(60)
print(os.getpid())
time.sleep(0.1)
"""
    ended = await started.run(script)
    assert ended.exit_code == 0  # the fixture checks that no process is left


async def test_a_background_child_does_not_delay_the_end(started: Started) -> None:
    script = "import os, time\nif os.fork() == 0: os.setsid(); time.sleep(60)\nprint('done')"
    ended = await started.run(script)
    assert (ended.exit_code, started.output()) == (0, "done\n")


@pytest.mark.parametrize("victim", ["keeper", "shim"])
async def test_death_of_keeper_or_shim_kills_the_tree(started: Started, victim: str) -> None:
    # the grandchild prints once it is an orphan, adopted by the nearer subreaper
    script = """
import os, time
if os.fork() == 0:
    os.setsid()
    parent = os.getpid()
    if os.fork(): os._exit(0)
    while os.getppid() == parent: time.sleep(0.001)
    print(os.getpid())
time.sleep(60)
"""
    await started.start(started.spec(script))
    await eventually(started.log.read_text, what="grandchild tells its pid")
    pids = started.pids()
    os.kill(pids[victim], signal.SIGKILL)
    ended = await started.attempt.wait()
    assert ended.end is End.LOST
    for pid in (*pids.values(), int(started.output())):
        assert state_of(pid) in {None, "Z"}


async def test_a_job_dies_with_its_shim_despite_a_hung_keeper(
    started: Started,
) -> None:
    await started.start(started.spec("import time; time.sleep(60)"))
    pids = started.pids()
    os.kill(pids["keeper"], signal.SIGSTOP)
    os.kill(pids["shim"], signal.SIGKILL)
    await eventually(lambda: state_of(pids["job"]) in {None, "Z"}, what="job is gone")
    os.kill(pids["keeper"], signal.SIGCONT)
    assert (await started.attempt.wait()).end is End.LOST


async def test_a_full_disk_loses_output_but_not_the_job(started: Started) -> None:
    script = """
import fcntl, os, termios, time
def say(text):
    print(text)
    while any(fcntl.ioctl(1, termios.FIONREAD, bytes(4))):  # until the shim has read it
        time.sleep(0.01)
while not os.path.exists("full"): time.sleep(0.01)
say("lost")
say("perhaps lost: the shim has done with what it read before")
open("printed", "w").close()
while not os.path.exists("room"): time.sleep(0.01)
say("kept")
os._exit(3)
"""
    await started.attempt.start(started.spec(script))
    shim, work = started.pids()["shim"], started.directory / "work"
    unlimited = resource.prlimit(shim, resource.RLIMIT_FSIZE)
    # neither the job's log nor the shim's can grow
    resource.prlimit(shim, resource.RLIMIT_FSIZE, (0, unlimited[1]))
    (work / "full").touch()
    await eventually((work / "printed").exists, what="the job has printed onto a full disk")
    resource.prlimit(shim, resource.RLIMIT_FSIZE, unlimited)
    (work / "room").touch()
    ended = await started.attempt.wait()
    assert (ended.end, ended.exit_code) == (End.EXITED, 3)
    assert not started.output().startswith("lost")
    assert started.output().endswith("kept\n")


async def test_an_end_on_a_full_disk_is_recorded_later(started: Started) -> None:
    script = "import os, time\nwhile not os.path.exists('go'): time.sleep(0.01)\nos._exit(3)"
    await started.start(started.spec(script))
    shim = started.pids()["shim"]
    job = Path(f"/proc/{started.pids()['job']}")
    # none of the shim's files can grow, as on a full disk
    unlimited = resource.prlimit(shim, resource.RLIMIT_FSIZE)
    resource.prlimit(shim, resource.RLIMIT_FSIZE, (0, unlimited[1]))
    (started.directory / "work" / "go").touch()
    await eventually(lambda: not job.exists(), what="job has been reaped")
    resource.prlimit(shim, resource.RLIMIT_FSIZE, unlimited)
    ended = await started.attempt.wait()
    assert (ended.end, ended.exit_code) == (End.EXITED, 3)


async def test_killing_the_job_does_not_kill_its_shim(started: Started) -> None:
    await started.start(started.spec("import time; time.sleep(60)"))
    os.kill(started.pids()["job"], signal.SIGKILL)
    ended = await started.attempt.wait()
    assert (ended.end, ended.signal, ended.stop) == (End.EXITED, signal.SIGKILL, None)


async def test_an_attempt_never_starts_twice(started: Started) -> None:
    spec = started.spec("open('runs', 'a').write('x')")
    first = await started.start(spec)
    await started.attempt.wait()
    assert first is not None
    assert await started.start(spec) is None
    assert (await started.attempt.wait()).exit_code == 0
    assert (started.directory / "work" / "runs").read_text() == "x"


async def test_a_running_attempt_is_not_started_again(started: Started) -> None:
    spec = started.spec("open('runs', 'a').write('x')\nimport time; time.sleep(60)")
    await started.start(spec)
    runs = started.directory / "work" / "runs"
    await eventually(lambda: runs.exists() and runs.read_text(), what="script runs")
    assert await started.start(spec) is None
    await started.attempt.stop()
    await started.attempt.wait()
    assert runs.read_text() == "x"


async def test_a_locked_attempt_is_not_started(started: Started) -> None:
    lock = files.try_lock(str(started.directory))
    assert lock is not None
    assert await started.start(started.spec("print('never')")) is None
    os.close(lock)
    assert (await started.attempt.wait()).end is End.NOT_STARTED
    assert not started.log.exists()


async def test_a_late_shim_does_not_start_the_job(started: Started) -> None:
    assert (await started.attempt.wait()).end is End.NOT_STARTED
    assert await started.start(started.spec("print('never')")) is None
    assert (await started.attempt.wait()).end is End.NOT_STARTED
    assert not started.log.exists()


async def test_stopping_before_the_start_prevents_it(started: Started) -> None:
    await started.attempt.stop()
    assert await started.start(started.spec("print('never')")) is None
    assert (await started.attempt.wait()).end is End.NOT_STARTED


async def test_a_program_that_cannot_be_executed_is_reported(tmp_path: Path) -> None:
    ended = await Started(tmp_path / "1", None).run("", argv=["/nonexistent/python", "train.py"])
    assert ended.end is End.START_FAILED
    assert ended.error
    assert "No such file" in ended.error


async def test_a_hung_fork_server_is_killed_for_a_cold_start(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("asgard_async.supervisor.attempt.FORK_SECONDS", 0.2)
    async with fork_server(tmp_path / "server") as server:
        os.kill(server.pid, signal.SIGSTOP)
        started = Started(tmp_path / "1", server)
        ended = await started.run("open('runs', 'a').write('x')")
        await server.ended()
    assert (ended.end, ended.exit_code) == (End.EXITED, 0)
    assert ended.started is not None
    assert ended.started.cold_reason is ColdReason.SERVER_LOST
    assert (tmp_path / "1" / "work" / "runs").read_text() == "x"


async def test_an_attempt_of_another_boot_is_lost(started: Started) -> None:
    me = os.getpid()
    facts = {"shim_pid": me, "shim_start_time": 1, "boot_id": "another", "started_at": 1.0}
    (started.directory / files.PID).write_bytes(msgspec.json.encode(facts))
    assert (await started.attempt.wait()).end is End.LOST


async def test_a_second_watcher_sees_the_same_outcome(started: Started) -> None:
    await started.start(started.spec("print('x'); raise SystemExit(4)"))
    other = Attempt(started.directory)
    assert (await other.wait()).exit_code == 4
    assert (await started.attempt.wait()).exit_code == 4


async def test_memory_limit_raises_memory_error_in_the_script(started: Started) -> None:
    ended = await started.run("x = bytearray(1 << 30)", memory_limit=512 << 20)
    assert ended.exit_code == 1
    assert started.output().endswith("MemoryError\n")


async def test_no_command_line_shows_the_job_environment(started: Started) -> None:
    spec = started.spec("import time; time.sleep(60)", environment={"SECRET": "s3cr3t-canary"})
    await started.start(spec)
    for pid in started.pids().values():
        assert b"s3cr3t-canary" not in Path(f"/proc/{pid}/cmdline").read_bytes()
    assert b"s3cr3t-canary" not in b"".join(
        path.read_bytes() for path in started.directory.rglob("*") if path.is_file()
    )
    await started.attempt.stop()
    await started.attempt.wait()


async def test_the_log_keeps_beginning_and_end_within_limits(started: Started) -> None:
    limit = 256 << 10
    lines = "import sys\nfor i in range(200_000): sys.stdout.write(f'line {i}\\n')"
    await started.run(lines, log_limit=limit, environment={})
    size = sum(len(f"line {i}\n") for i in range(200_000))
    assert started.log.stat().st_size == size
    assert started.log.stat().st_blocks * 512 <= limit
    data = started.log.read_bytes()
    assert data.startswith(b"line 0\nline 1\n")
    assert data.endswith(b"line 199998\nline 199999\n")
