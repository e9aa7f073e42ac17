"""Threads that do not delay the program's exit."""

import asyncio
import contextlib
import threading
from collections.abc import Callable
from typing import TypeVar

T = TypeVar("T")


async def run_in_daemon_thread(work: Callable[[], T]) -> T:
    """Run `work` in a new daemon thread; the program's exit may interrupt it.

    Use this for work that may take minutes and can safely stop anywhere, such as a walk over a
    million files. With `asyncio.to_thread`, every shutdown would wait for it.
    """
    loop = asyncio.get_running_loop()
    done: asyncio.Future[T] = loop.create_future()

    def run() -> None:
        try:
            result = work()
        except BaseException as error:
            report(_fail, error)
        else:
            report(_succeed, result)

    def report(settle: Callable[..., None], outcome: object) -> None:
        with contextlib.suppress(RuntimeError):  # the loop is closed, and nothing awaits the result
            loop.call_soon_threadsafe(settle, done, outcome)

    threading.Thread(target=run, name="run_in_daemon_thread", daemon=True).start()
    return await done


class DaemonThreads:
    """A limited number of daemon threads for one kind of long work.

    Long work in the default threads (`asyncio.to_thread`) would hold up everything else there, such
    as reading logs. Further work waits in order.
    """

    def __init__(self, limit: int) -> None:
        self._free = asyncio.Semaphore(limit)

    async def run(self, work: Callable[[], T]) -> T:
        """Run `work` as `run_in_daemon_thread` does, once a thread is free.

        A cancelled caller does not wait for the thread, which counts until its work is done.
        """
        await self._free.acquire()
        loop = asyncio.get_running_loop()
        is_started = False

        def release_after_work() -> T:
            nonlocal is_started
            is_started = True
            try:
                return work()
            finally:
                with contextlib.suppress(RuntimeError):  # the loop is closed
                    loop.call_soon_threadsafe(self._free.release)

        try:
            return await run_in_daemon_thread(release_after_work)
        except RuntimeError:
            if not is_started:  # the machine has no thread left
                self._free.release()
            raise


def _succeed(done: asyncio.Future[T], result: T) -> None:
    if not done.done():  # the caller may have been cancelled
        done.set_result(result)


def _fail(done: asyncio.Future[T], error: BaseException) -> None:
    if not done.done():
        done.set_exception(error)
