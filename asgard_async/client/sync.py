"""The client without asyncio: the same methods, run in a thread that has an event loop.

No method is written twice: each one here is made of that of `AsyncAsgardClient`, with its
parameters, types and documentation.
"""

import functools
import inspect
import weakref
from collections.abc import AsyncGenerator, Callable, Coroutine, Generator
from types import GenericAlias, TracebackType
from typing import Any, Concatenate, ParamSpec, Self, TypeVar, get_args

from asgard_async.client.asynchronous import AsyncAsgardClient
from asgard_async.client.loop_thread import LoopThread

P = ParamSpec("P")
T = TypeVar("T")


def _blocking(
    method: Callable[Concatenate[Any, P], Coroutine[Any, Any, T]],
) -> Callable[Concatenate["AsgardClient", P], T]:
    """A method that waits for what `method` returns."""

    def call(self: "AsgardClient", /, *args: P.args, **kwargs: P.kwargs) -> T:
        return self._thread.run(method(self._client, *args, **kwargs))

    _document(call, method, inspect.signature(method).return_annotation)
    return call


def _iterating(
    method: Callable[Concatenate[Any, P], AsyncGenerator[T, None]],
) -> Callable[Concatenate["AsgardClient", P], Generator[T, None, None]]:
    """A method that gives what `method` gives, to a `for` without `async`."""

    def call(
        self: "AsgardClient", /, *args: P.args, **kwargs: P.kwargs
    ) -> Generator[T, None, None]:
        return self._iterate(method(self._client, *args, **kwargs))

    (item, _) = get_args(inspect.signature(method).return_annotation)
    _document(call, method, GenericAlias(Generator, (item, None, None)))
    return call


def _document(call: Callable[..., Any], method: Callable[..., Any], returns: object) -> None:
    """What help() and notebooks show: as `method`, but that it returns at once."""
    functools.update_wrapper(call, method)
    call.__dict__["__signature__"] = inspect.signature(method).replace(return_annotation=returns)
    del call.__dict__["__wrapped__"]  # or inspect would call it asynchronous


class AsgardClient:
    """Talks to a running Asgard; works in scripts and in notebooks, whose own loop it leaves alone.

    Jobs are given as a `Job` or by their id. Every method may raise an `AsgardError`. Connections
    that fail, 429 and 503 are tried again where the same request twice does what it does once.

    Several threads may share a client. Ctrl-C ends the call that waits, not the job. A client does
    not survive a fork: one that was made before raises RuntimeError in the child. Close it, or use
    it with `with`; one that is forgotten closes itself at the end.
    """

    def __init__(
        self,
        url: str | None = None,
        *,
        token: str | None = None,
        timeout: float = 30,
        retry_for: float = 10,
        reconnect_for: float = 300,
    ) -> None:
        """As `AsyncAsgardClient`."""
        self._client = AsyncAsgardClient(
            url, token=token, timeout=timeout, retry_for=retry_for, reconnect_for=reconnect_for
        )
        self._thread = LoopThread("asgard-client", self._client.close)
        weakref.finalize(self, self._thread.close)

    @property
    def url(self) -> str:
        """Where the service is, without credentials."""
        return self._client.url

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self.url}>"

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()

    def close(self) -> None:
        """Cancel calls of other threads, and close the connections. For good."""
        self._thread.close()

    def _iterate(self, generator: AsyncGenerator[T, None]) -> Generator[T, None, None]:
        # a generator of this object, so that it lives as long as its iterators
        yield from self._thread.iterate(generator)

    submit = _blocking(AsyncAsgardClient.submit)
    get = _blocking(AsyncAsgardClient.get)
    list = _iterating(AsyncAsgardClient.list)
    wait = _blocking(AsyncAsgardClient.wait)
    cancel = _blocking(AsyncAsgardClient.cancel)
    retry = _blocking(AsyncAsgardClient.retry)
    delete = _blocking(AsyncAsgardClient.delete)
    script = _blocking(AsyncAsgardClient.script)

    follow = _iterating(AsyncAsgardClient.follow)
    log_events = _iterating(AsyncAsgardClient.log_events)
    logs = _iterating(AsyncAsgardClient.logs)
    log_lines = _iterating(AsyncAsgardClient.log_lines)
    log_bytes = _iterating(AsyncAsgardClient.log_bytes)

    models = _blocking(AsyncAsgardClient.models)
    model = _blocking(AsyncAsgardClient.model)
    register = _blocking(AsyncAsgardClient.register)

    status = _blocking(AsyncAsgardClient.status)
    ready = _blocking(AsyncAsgardClient.ready)
