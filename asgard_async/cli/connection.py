"""How commands speak with the service, and what they say when it refuses or is not there."""

import asyncio
import errno
import functools
import os
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Any, cast

import click

from asgard_async.cli.options import url_option
from asgard_async.cli.sanitiser import one_line, several_lines

if TYPE_CHECKING:
    from asgard_async.client import AsgardError, AsyncAsgardClient

INTERRUPTED = 130

RETRY_SECONDS = 2.0
"""How long a command bears that the service does not answer: as long as a restart takes."""

RECONNECT_SECONDS = 600.0
"""The same for one that follows a job."""

RECENT_JOBS = 5


class Failure(click.ClickException):
    """The command could not do what it was to do; shown as "Error: …" on stderr."""

    def __init__(self, message: str, exit_code: int = 1) -> None:
        super().__init__(message)
        self.exit_code = exit_code  # type: ignore[misc]  # as click's documentation does it


def speaks(failure: int = 1) -> Callable[[Callable[..., Awaitable[None]]], Callable[..., None]]:
    """Make a command of a coroutine: it gets a client as its first argument, --url as an option,
    and exits with `failure` when the service refuses or cannot be reached."""

    def decorate(command: Callable[..., Awaitable[None]]) -> Callable[..., None]:
        @functools.wraps(command)
        def run(*, url: str | None, **options: Any) -> None:
            # imported late: help and completion do without
            from asgard_async.client import AsgardError

            async def speak() -> None:
                async with connect(url) as client:
                    try:
                        await command(client, **options)
                    except AsgardError as error:
                        raise Failure(await words_for(error, client), failure) from error

            try:
                asyncio.run(speak())
            except KeyboardInterrupt:
                raise SystemExit(INTERRUPTED) from None
            except OSError as error:
                if error.errno == errno.EPIPE:
                    raise  # whoever reads has enough: click ends quietly
                raise Failure(os.strerror(error.errno) if error.errno else str(error)) from error

        return cast("Callable[..., None]", url_option(run))

    return decorate


def connect(url: str | None, *, retry_for: float = RETRY_SECONDS) -> "AsyncAsgardClient":
    """A client for the service.

    Raises:
        click.UsageError: the address or the token cannot be one.
    """
    from asgard_async.client import AsyncAsgardClient

    try:
        return AsyncAsgardClient(url, retry_for=retry_for, reconnect_for=RECONNECT_SECONDS)
    except ValueError as error:
        raise click.UsageError(str(error)) from error


async def words_for(error: "AsgardError", client: "AsyncAsgardClient") -> str:
    """What is said to a person about a refusal."""
    from asgard_async.client import NotFound, Unauthorized

    said = [several_lines(str(error))]
    if isinstance(error, NotFound) and error.kind.endswith(":job-not-found"):
        said += await _recent_jobs(client)
    if isinstance(error, NotFound) and error.kind == "about:blank":
        said.append(f"Is {one_line(client.url)} the address of an Asgard? (--url, ASGARD_URL)")
    if isinstance(error, Unauthorized) and not os.environ.get("ASGARD_TOKEN"):
        said.append("A token is given in the variable ASGARD_TOKEN.")
    elif isinstance(error, Unauthorized) and error.status == 401:
        said.append("The token in ASGARD_TOKEN is not one of this service, or not any more.")
    if error.request_id and error.status == 500:
        said.append(f"The service's log tells more, under {one_line(error.request_id)}.")
    return "\n".join(said)


async def _recent_jobs(client: "AsyncAsgardClient") -> list[str]:
    from asgard_async.client import AsgardError

    try:
        jobs = [job async for job in client.list(limit=RECENT_JOBS)]
    except AsgardError:
        return []
    told = [
        one_line(f"  {job.job_id}  {job.status:<9}  {job.script_name}  {job.experiment_name}")
        for job in jobs
    ]
    return ["The newest jobs:", *told] if told else ["There are no jobs."]


async def resolve(client: "AsyncAsgardClient", given: str) -> str:
    """The id of the job that is meant: an id, or the beginning of one among the newest 500.

    Raises:
        Failure: several begin like this.
    """
    text = given.strip().lower()
    if len(text) >= 8 or not text or text.strip("0123456789abcdef"):
        return given
    matching = [job.job_id async for job in client.list(limit=500) if job.job_id.startswith(text)]
    if len(matching) > 1:
        raise Failure(f"Several jobs begin with {text}: {', '.join(matching[:10])}")
    return matching[0] if matching else given


def document(value: Any) -> Any:
    """A record of the client as what json.dumps takes."""
    import msgspec

    return msgspec.to_builtins(value)
