"""An event loop in a separate thread, for callers without a loop or inside another loop."""

import asyncio
import contextlib
import os
import sys
import threading
from collections.abc import AsyncGenerator, Callable, Coroutine, Iterator
from concurrent.futures import Future
from typing import Any, TypeVar

T = TypeVar("T")

# On Windows, Ctrl-C does not interrupt a wait for a lock, so the thread wakes up regularly.
WAKE_UP_SECONDS = 0.2 if sys.platform == "win32" else None
CLEAN_UP_SECONDS = 5.0
"""Time limit for the clean-up of an interrupted call."""


class LoopThread:
    """A thread that runs coroutines for any number of threads. Starts with the first call."""

    def __init__(self, name: str, on_close: Callable[[], Coroutine[Any, Any, None]]) -> None:
        """`on_close` runs in the loop when it stops, after every call has ended."""
        self._name = name
        self._on_close = on_close
        self._lock = threading.Lock()
        self._thread: threading.Thread | None = None
        self._loop: asyncio.AbstractEventLoop | None = None
        self._stop: asyncio.Event | None = None
        self._closed = False
        self._pid = os.getpid()

    def run(self, coroutine: Coroutine[Any, Any, T]) -> T:
        """Run a coroutine and return its result. Ctrl-C while waiting cancels it.

        Raises:
            RuntimeError: the thread was stopped, belongs to the parent process of a fork, or is the
                calling thread.
        """
        result: Future[T] = Future()
        tasks: list[asyncio.Task[T]] = []

        def begin() -> None:
            task = asyncio.get_running_loop().create_task(coroutine)
            tasks.append(task)
            task.add_done_callback(lambda done: _copy_result(done, result))

        def cancel() -> None:
            for task in tasks:
                task.cancel()

        try:
            loop = self._schedule(begin)
        except BaseException:
            coroutine.close()
            raise
        try:
            return _wait(result)
        except BaseException:
            if not result.done():  # this thread was interrupted; the coroutine did not fail
                loop.call_soon_threadsafe(cancel)
                with contextlib.suppress(Exception):
                    result.result(CLEAN_UP_SECONDS)
            raise

    def iterate(self, generator: AsyncGenerator[T, None]) -> Iterator[T]:
        """Yield the items of a generator, advancing it one item at a time."""
        try:
            while True:
                try:
                    item = self.run(_next(generator))
                except StopAsyncIteration:
                    return
                yield item
        finally:
            # not awaited: the garbage collector may run this, in any thread
            self._call_soon(generator.aclose())

    def close(self) -> None:
        """Cancel every call, run `on_close` and stop the thread. Safe to call repeatedly."""
        if self._pid != os.getpid():
            return
        with self._lock:
            self._closed = True
        thread = self._thread
        if self._loop is None or self._stop is None or thread is None or not thread.is_alive():
            return
        with contextlib.suppress(RuntimeError):  # another thread is closing it right now
            self._loop.call_soon_threadsafe(self._stop.set)
        if thread is not threading.current_thread():
            thread.join()

    def _schedule(self, begin: Callable[[], None]) -> asyncio.AbstractEventLoop:
        # checked before taking the lock, which a forked process may inherit locked
        if self._pid != os.getpid():
            raise RuntimeError(
                "This client was created before the process forked; create one in each process."
            )
        if self._thread is threading.current_thread():
            raise RuntimeError("A call from within the client's own event loop would deadlock.")
        # under the lock, so that `close` cancels every call that was started before it
        with self._lock:
            if self._closed:
                raise RuntimeError("The client is closed.")
            if self._loop is None:
                started: Future[asyncio.AbstractEventLoop] = Future()
                # a daemon, so that an unclosed client does not keep the interpreter alive
                self._thread = threading.Thread(
                    target=self._main, args=(started,), name=self._name, daemon=True
                )
                self._thread.start()
                self._loop = started.result()
            self._loop.call_soon_threadsafe(begin)
            return self._loop

    def _main(self, started: Future[asyncio.AbstractEventLoop]) -> None:
        # not asyncio.run: it ends by starting a thread, which fails during interpreter shutdown
        loop = asyncio.new_event_loop()
        try:
            loop.run_until_complete(self._serve(started))
            loop.run_until_complete(loop.shutdown_asyncgens())
        finally:
            loop.close()

    async def _serve(self, started: Future[asyncio.AbstractEventLoop]) -> None:
        self._stop = asyncio.Event()
        started.set_result(asyncio.get_running_loop())
        await self._stop.wait()
        calls = asyncio.all_tasks() - {asyncio.current_task()}
        for call in calls:
            call.cancel()
        await asyncio.gather(*calls, return_exceptions=True)
        await self._on_close()

    def _call_soon(self, coroutine: Coroutine[Any, Any, Any]) -> None:
        loop = self._loop
        if loop is None or self._closed or self._pid != os.getpid():
            coroutine.close()
            return
        try:
            loop.call_soon_threadsafe(lambda: loop.create_task(coroutine))
        except RuntimeError:  # the loop has just closed
            coroutine.close()


async def _next(generator: AsyncGenerator[T, None]) -> T:
    return await anext(generator)


def _wait(result: Future[T]) -> T:
    while True:
        try:
            return result.result(WAKE_UP_SECONDS)
        except TimeoutError:
            if result.done():
                return result.result()


def _copy_result(task: asyncio.Task[T], result: Future[T]) -> None:
    if task.cancelled():
        result.set_exception(RuntimeError("The client was closed during the call."))
    elif (error := task.exception()) is not None:
        result.set_exception(error)
    else:
        result.set_result(task.result())
