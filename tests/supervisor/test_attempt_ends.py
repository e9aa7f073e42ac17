"""How attempts end: stopped, killed, by a full disk or a reboot."""

import os
import resource
import signal
from pathlib import Path

import msgspec
import pytest

from asgard_async.domain.attempt import End, Stop
from asgard_async.supervisor.attempt import Attempt
from asgard_async.supervisor.shim import files
from tests.support.eventually import eventually
from tests.support.processes import state_of
from tests.support.started_attempt import StartedAttempt

pytestmark = [pytest.mark.asyncio(loop_scope="module"), pytest.mark.slow]


async def test_timeout_stops_the_script(started: StartedAttempt) -> None:
    ended = await started.run("import time; time.sleep(60)", timeout=0.2)
    assert (ended.stop, ended.signal, ended.killed) == (Stop.TIMEOUT, signal.SIGTERM, False)


async def test_ignoring_sigterm_ends_in_a_kill_after_the_grace(started: StartedAttempt) -> None:
    script = "import signal, time\nsignal.signal(15, signal.SIG_IGN)\nprint('up')\ntime.sleep(60)"
    await started.start(started.spec(script))
    await eventually(lambda: "up\n" in started.output(), what="script is up")
    await started.attempt.stop()
    ended = await started.attempt.wait()
    assert (ended.stop, ended.signal, ended.killed) == (Stop.REQUESTED, signal.SIGKILL, True)


async def test_a_stopped_script_may_choose_its_exit_code(started: StartedAttempt) -> None:
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


async def test_hidden_children_do_not_outlive_the_job(started: StartedAttempt) -> None:
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


async def test_a_background_child_does_not_delay_the_end(started: StartedAttempt) -> None:
    script = "import os, time\nif os.fork() == 0: os.setsid(); time.sleep(60)\nprint('done')"
    ended = await started.run(script)
    assert (ended.exit_code, started.output()) == (0, "done\n")


@pytest.mark.parametrize("victim", ["keeper", "shim"])
async def test_death_of_keeper_or_shim_kills_the_tree(started: StartedAttempt, victim: str) -> None:
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
    started: StartedAttempt,
) -> None:
    await started.start(started.spec("import time; time.sleep(60)"))
    pids = started.pids()
    os.kill(pids["keeper"], signal.SIGSTOP)
    os.kill(pids["shim"], signal.SIGKILL)
    await eventually(lambda: state_of(pids["job"]) in {None, "Z"}, what="job is gone")
    os.kill(pids["keeper"], signal.SIGCONT)
    assert (await started.attempt.wait()).end is End.LOST


async def test_a_full_disk_loses_output_but_not_the_job(started: StartedAttempt) -> None:
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


async def test_an_end_on_a_full_disk_is_recorded_later(started: StartedAttempt) -> None:
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


async def test_killing_the_job_does_not_kill_its_shim(started: StartedAttempt) -> None:
    await started.start(started.spec("import time; time.sleep(60)"))
    os.kill(started.pids()["job"], signal.SIGKILL)
    ended = await started.attempt.wait()
    assert (ended.end, ended.signal, ended.stop) == (End.EXITED, signal.SIGKILL, None)


async def test_an_attempt_of_another_boot_is_lost(started: StartedAttempt) -> None:
    me = os.getpid()
    facts = {"shim_pid": me, "shim_start_time": 1, "boot_id": "another", "started_at": 1.0}
    (started.directory / files.PID).write_bytes(msgspec.json.encode(facts))
    assert (await started.attempt.wait()).end is End.LOST


async def test_a_second_watcher_sees_the_same_outcome(started: StartedAttempt) -> None:
    await started.start(started.spec("print('x'); raise SystemExit(4)"))
    other = Attempt(started.directory)
    assert (await other.wait()).exit_code == 4
    assert (await started.attempt.wait()).exit_code == 4
