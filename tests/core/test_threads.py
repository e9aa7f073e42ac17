"""Threads that do not delay the exit of the program."""

import asyncio
import subprocess
import sys
import threading

import pytest

from asgard_async.core.threads import DaemonThreads, run_in_daemon_thread
from tests.support.eventually import eventually

NEVER_ENDS = """
import asyncio, threading
from asgard_async.core.threads import run_in_daemon_thread

async def main():
    begun = threading.Event()

    def work():
        begun.set()
        threading.Event().wait()

    task = asyncio.create_task(run_in_daemon_thread(work))
    await asyncio.to_thread(begun.wait)
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
    print("over")

asyncio.run(main())
"""


async def test_the_result_or_error_is_passed_on() -> None:
    assert await run_in_daemon_thread(threading.get_ident) != threading.get_ident()
    with pytest.raises(ZeroDivisionError):
        await run_in_daemon_thread(lambda: 1 // 0)


@pytest.mark.parametrize("fails", [False, True])
async def test_a_result_after_cancellation_is_dropped(*, fails: bool) -> None:
    begun, go_on = threading.Event(), threading.Event()

    def work() -> None:
        begun.set()
        go_on.wait()
        if fails:
            raise ValueError

    task = asyncio.create_task(run_in_daemon_thread(work))
    await asyncio.to_thread(begun.wait)
    (thread,) = [
        thread for thread in threading.enumerate() if thread.name == "run_in_daemon_thread"
    ]
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    go_on.set()
    await asyncio.to_thread(thread.join)
    await asyncio.sleep(0)


def test_a_program_exits_while_a_thread_works() -> None:
    done = subprocess.run(
        [sys.executable, "-c", NEVER_ENDS], capture_output=True, text=True, timeout=60, check=True
    )
    assert (done.stdout, done.stderr) == ("over\n", "")


async def test_long_work_has_a_limited_number_of_threads() -> None:
    threads, go_on, lock = DaemonThreads(2), threading.Event(), threading.Lock()
    working = most = 0

    def work() -> int:
        nonlocal working, most
        with lock:
            working += 1
            most = max(most, working)
        go_on.wait()
        with lock:
            working -= 1
        return 1

    tasks = [asyncio.create_task(threads.run(work)) for _ in range(50)]
    await eventually(lambda: working == 2, what="two are working")
    # the default threads stay free
    assert await asyncio.to_thread(threading.get_ident) != threading.get_ident()
    # a thread whose caller was cancelled still counts
    tasks[0].cancel()
    await asyncio.gather(tasks[0], return_exceptions=True)
    await asyncio.sleep(0)
    assert working == 2
    go_on.set()
    assert await asyncio.gather(*tasks[1:]) == [1] * 49
    assert most == 2


async def test_failed_work_frees_its_thread() -> None:
    threads = DaemonThreads(1)
    for _ in range(3):
        with pytest.raises(ZeroDivisionError):
            await threads.run(lambda: 1 // 0)
