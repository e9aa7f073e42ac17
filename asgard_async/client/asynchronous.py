"""The asyncio client."""

from types import TracebackType
from typing import Self

from asgard_async.client.calls.files import FileCalls
from asgard_async.client.calls.models import ModelCalls
from asgard_async.client.calls.service import ServiceCalls
from asgard_async.client.calls.submit import SubmitCall
from asgard_async.client.calls.wait import WaitCall


class AsyncAsgardClient(SubmitCall, WaitCall, FileCalls, ModelCalls, ServiceCalls):
    """An asynchronous client for a running Asgard service.

    Methods accept a `Job` or a job id. Every method may raise an `AsgardError`. Requests that are
    safe to repeat are retried after a failed connection, 429 or 503.

    Use it in one event loop; `AsgardClient` can be shared between threads.
    """

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        await self.close()
