"""The synchronous client: the same methods, run in a thread with an event loop.

Each method is derived from the method of `AsyncAsgardClient`, with its parameters, types and
documentation, so that nothing is written twice.
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
    """Create a method that waits for the result of `method`."""

    def call(self: "AsgardClient", /, *args: P.args, **kwargs: P.kwargs) -> T:
        return self._thread.run(method(self._client, *args, **kwargs))

    _document(call, method, inspect.signature(method).return_annotation)
    return call


def _iterating(
    method: Callable[Concatenate[Any, P], AsyncGenerator[T, None]],
) -> Callable[Concatenate["AsgardClient", P], Generator[T, None, None]]:
    """Create a method that yields the items of `method` to an ordinary `for`."""

    def call(
        self: "AsgardClient", /, *args: P.args, **kwargs: P.kwargs
    ) -> Generator[T, None, None]:
        return self._iterate(method(self._client, *args, **kwargs))

    (item, _) = get_args(inspect.signature(method).return_annotation)
    _document(call, method, GenericAlias(Generator, (item, None, None)))
    return call


def _document(call: Callable[..., Any], method: Callable[..., Any], returns: object) -> None:
    """Copy the signature and documentation, for help() and notebooks."""
    functools.update_wrapper(call, method)
    call.__dict__["__signature__"] = inspect.signature(method).replace(return_annotation=returns)
    del call.__dict__["__wrapped__"]  # otherwise inspect reports it as asynchronous


class AsgardClient:
    """A client for a running Asgard service, for scripts and notebooks.

    Methods accept a `Job` or a job id. Every method may raise an `AsgardError`. Requests that are
    safe to repeat are retried after a failed connection, 429 or 503.

    Threads can share a client. Ctrl-C interrupts the waiting call, not the job. A client does not
    survive a fork: in the child process it raises RuntimeError. Close it, or use it in a `with`
    statement; otherwise it is closed when it is garbage-collected or Python exits. A notebook's
    own event loop is not used.
    """

    def __init__(
        self,
        url: str | None = None,
        *,
        token: str | None = None,
        instance: str | None = None,
        timeout: float = 30,
        retry_for: float = 10,
        reconnect_for: float = 300,
    ) -> None:
        """Create a client, which connects on the first call. See `AsyncAsgardClient`."""
        self._client = AsyncAsgardClient(
            url,
            token=token,
            instance=instance,
            timeout=timeout,
            retry_for=retry_for,
            reconnect_for=reconnect_for,
        )
        self._thread = LoopThread("asgard-client", self._client.close)
        weakref.finalize(self, self._thread.close)

    @property
    def url(self) -> str:
        """The service's URL without credentials."""
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
        """Cancel the calls of other threads and close the client permanently."""
        self._thread.close()

    def _iterate(self, generator: AsyncGenerator[T, None]) -> Generator[T, None, None]:
        # a generator that refers to this object keeps it alive as long as its iterators
        yield from self._thread.iterate(generator)

    submit = _blocking(AsyncAsgardClient.submit)
    get = _blocking(AsyncAsgardClient.get)
    list = _iterating(AsyncAsgardClient.list)
    wait = _blocking(AsyncAsgardClient.wait)
    cancel = _blocking(AsyncAsgardClient.cancel)
    retry = _blocking(AsyncAsgardClient.retry)
    delete = _blocking(AsyncAsgardClient.delete)
    script = _blocking(AsyncAsgardClient.script)
    files = _blocking(AsyncAsgardClient.files)
    download = _blocking(AsyncAsgardClient.download)

    follow = _iterating(AsyncAsgardClient.follow)
    log_events = _iterating(AsyncAsgardClient.log_events)
    logs = _iterating(AsyncAsgardClient.logs)
    log_lines = _iterating(AsyncAsgardClient.log_lines)
    log_bytes = _iterating(AsyncAsgardClient.log_bytes)

    models = _blocking(AsyncAsgardClient.models)
    model = _blocking(AsyncAsgardClient.model)
    model_versions = _iterating(AsyncAsgardClient.model_versions)
    register = _blocking(AsyncAsgardClient.register)

    status = _blocking(AsyncAsgardClient.status)
    ready = _blocking(AsyncAsgardClient.ready)
