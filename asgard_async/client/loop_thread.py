"""An event loop in a thread of its own, for callers that have none or are inside another one."""

import asyncio
import contextlib
import os
import sys
import threading
from collections.abc import AsyncGenerator, Callable, Coroutine, Iterator
from concurrent.futures import Future
from typing import Any, TypeVar

T = TypeVar("T")

# On Windows nothing interrupts a thread that waits for a lock, so Ctrl-C is looked for.
LOOK_SECONDS = 0.2 if sys.platform == "win32" else None
INTERRUPTED_SECONDS = 5.0
"""How long an interrupted call may take to clean up after itself."""


class LoopThread:
    """Runs coroutines for any number of threads. Starts with the first call."""

    def __init__(self, name: str, at_end: Callable[[], Coroutine[Any, Any, None]]) -> None:
        """`at_end` is run in the loop when it stops, after every call has ended."""
        self._name = name
        self._at_end = at_end
        self._lock = threading.Lock()
        self._thread: threading.Thread | None = None
        self._loop: asyncio.AbstractEventLoop | None = None
        self._stop: asyncio.Event | None = None
        self._closed = False
        self._pid = os.getpid()

    def run(self, coroutine: Coroutine[Any, Any, T]) -> T:
        """The result of a coroutine. An interrupt (Ctrl-C) while waiting cancels it.

        Raises:
            RuntimeError: the thread is stopped, belongs to the process that this one was forked
                from, or is the caller's own.
        """
        result: Future[T] = Future()
        tasks: list[asyncio.Task[T]] = []

        def begin() -> None:
            task = asyncio.get_running_loop().create_task(coroutine)
            tasks.append(task)
            task.add_done_callback(lambda done: _pass_on(done, result))

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
            if not result.done():  # an interrupt of this thread, not the coroutine's own error
                loop.call_soon_threadsafe(cancel)
                with contextlib.suppress(Exception):
                    result.result(INTERRUPTED_SECONDS)
            raise

    def iterate(self, generator: AsyncGenerator[T, None]) -> Iterator[T]:
        """The items of a generator, one asked for at a time."""
        try:
            while True:
                try:
                    item = self.run(_next(generator))
                except StopAsyncIteration:
                    return
                yield item
        finally:
            # not waited for: this may be the garbage collector, in whatever thread
            self._soon(generator.aclose())

    def close(self) -> None:
        """Cancel every call, run `at_end` and end the thread. Any number of times."""
        if self._pid != os.getpid():
            return
        with self._lock:
            self._closed = True
        thread = self._thread
        if self._loop is None or self._stop is None or thread is None or not thread.is_alive():
            return
        with contextlib.suppress(RuntimeError):  # another thread closes it in this moment
            self._loop.call_soon_threadsafe(self._stop.set)
        if thread is not threading.current_thread():
            thread.join()

    def _schedule(self, begin: Callable[[], None]) -> asyncio.AbstractEventLoop:
        # a fork has the lock but no thread, so this comes before the lock
        if self._pid != os.getpid():
            raise RuntimeError(
                "This client was made before the process forked; make one in each process."
            )
        if self._thread is threading.current_thread():
            raise RuntimeError("A call from within the client's own event loop would never end.")
        # with the lock: what begins before `close` is there to be cancelled by it
        with self._lock:
            if self._closed:
                raise RuntimeError("The client is closed.")
            if self._loop is None:
                started: Future[asyncio.AbstractEventLoop] = Future()
                # a daemon, so that a forgotten client does not keep the interpreter from ending
                self._thread = threading.Thread(
                    target=self._main, args=(started,), name=self._name, daemon=True
                )
                self._thread.start()
                self._loop = started.result()
            self._loop.call_soon_threadsafe(begin)
            return self._loop

    def _main(self, started: Future[asyncio.AbstractEventLoop]) -> None:
        # not asyncio.run: it ends with a new thread, which cannot be had while Python exits
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
        await self._at_end()

    def _soon(self, coroutine: Coroutine[Any, Any, Any]) -> None:
        loop = self._loop
        if loop is None or self._closed or self._pid != os.getpid():
            coroutine.close()
            return
        try:
            loop.call_soon_threadsafe(lambda: loop.create_task(coroutine))
        except RuntimeError:  # closed in this moment, and what it ran with it
            coroutine.close()


async def _next(generator: AsyncGenerator[T, None]) -> T:
    return await anext(generator)


def _wait(result: Future[T]) -> T:
    while True:
        try:
            return result.result(LOOK_SECONDS)
        except TimeoutError:
            if result.done():
                return result.result()


def _pass_on(done: asyncio.Task[T], result: Future[T]) -> None:
    if done.cancelled():
        result.set_exception(RuntimeError("The client was closed during the call."))
    elif (error := done.exception()) is not None:
        result.set_exception(error)
    else:
        result.set_result(done.result())
