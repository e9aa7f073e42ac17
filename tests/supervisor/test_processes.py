"""Identities of processes, whose pids may outlive them and are reused."""

import os
import signal
import subprocess
import threading

import pytest

from asgard_async.supervisor.processes import ProcessIdentity, identify, processes_running
from asgard_async.supervisor.shim import linux


def identity(pid: int) -> ProcessIdentity:
    found = identify(pid)
    assert found is not None
    return found


def test_a_running_process_is_alive() -> None:
    assert identity(os.getpid()).is_alive()


def test_a_leader_of_remaining_processes_is_gone() -> None:
    """Its pid stays in use, and older kernels refuse it with another error (EINVAL)."""
    with subprocess.Popen(
        ["/bin/sh", "-c", "sleep 600 & echo $!; read _"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        start_new_session=True,
        text=True,
    ) as leader:
        assert leader.stdin is not None
        assert leader.stdout is not None
        member = int(leader.stdout.readline())
        found = identity(leader.pid)
        leader.stdin.close()
        leader.wait()
    try:
        assert os.getsid(member) == leader.pid
        assert linux.open_process(leader.pid) is None
        assert not found.is_alive()
        found.signal(signal.SIGTERM)
    finally:
        os.kill(member, signal.SIGKILL)


def test_a_thread_id_is_not_a_process() -> None:
    with_number, done = threading.Event(), threading.Event()
    numbers = []

    def run() -> None:
        numbers.append(threading.get_native_id())
        with_number.set()
        done.wait()

    thread = threading.Thread(target=run)
    thread.start()
    try:
        with_number.wait()
        assert linux.open_process(numbers[0]) is None
        assert not identity(numbers[0]).is_alive()
    finally:
        done.set()
        thread.join()


@pytest.mark.skipif(os.geteuid() != 0, reason="needs a second user")
def test_processes_of_other_users_do_not_count() -> None:
    """Any user can give a process this command line."""
    program, argument = "asgard_async/supervisor/shim/start.py", "/srv/attempt"
    command = ["/bin/sh", "-c", "read _", f"/x/{program}", argument]
    for user, count in ((None, 1), (65534, 0)):
        with subprocess.Popen(command, stdin=subprocess.PIPE, user=user) as process:
            found = processes_running([program], argument)
            assert len(found) == count
            process.kill()
