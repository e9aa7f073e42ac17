"""The commands' connection to the service, and their error messages."""

import asyncio
import errno
import functools
import os
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Any, cast

import click

from asgard_async.cli.options import url_option
from asgard_async.cli.sanitiser import multi_line, one_line

if TYPE_CHECKING:
    from asgard_async.client import AsgardError, AsyncAsgardClient

INTERRUPTED = 130

RETRY_SECONDS = 2.0
"""Time for which a command retries while the service does not answer, such as during a restart."""

RECONNECT_SECONDS = 600.0
"""The same time for a command that follows a job."""

RECENT_JOBS = 5

TERMS_OF_THE_CLI = {
    "; see 'errors' for each field.": ":",
    "GET /mlops/training/jobs lists": "`asgard jobs` lists",
}
"""Terms of the API in error messages → what the command shows."""


class Failure(click.ClickException):
    """The command failed; shown as "Error: …" on stderr."""

    def __init__(self, message: str, exit_code: int = 1) -> None:
        super().__init__(message)
        self.exit_code = exit_code  # type: ignore[misc]  # as click documents it


def client_command(
    failure_code: int = 1,
) -> Callable[[Callable[..., Awaitable[None]]], Callable[..., None]]:
    """Turn a coroutine function into a command that talks to the service.

    The function gets a client as its first argument. The command has the option --url, and exits
    with `failure_code` if the service refuses the request or cannot be reached.
    """

    def decorate(command: Callable[..., Awaitable[None]]) -> Callable[..., None]:
        @functools.wraps(command)
        def run(*, url: str | None, **options: Any) -> None:
            # imported late: help and completion work without it
            from asgard_async.client import AsgardError

            async def run_with_client() -> None:
                async with connect(url) as client:
                    try:
                        await command(client, **options)
                    except AsgardError as error:
                        raise Failure(await explain(error, client), failure_code) from error

            try:
                asyncio.run(run_with_client())
            except KeyboardInterrupt:
                raise SystemExit(INTERRUPTED) from None
            except OSError as error:
                if error.errno == errno.EPIPE:
                    raise  # the reader has closed the pipe: click exits silently
                raise Failure(os.strerror(error.errno) if error.errno else str(error)) from error

        return cast("Callable[..., None]", url_option(run))

    return decorate


def connect(url: str | None, *, retry_for: float = RETRY_SECONDS) -> "AsyncAsgardClient":
    """Create a client for the service.

    Raises:
        click.UsageError: the URL or the token is malformed.
    """
    from asgard_async.client import AsyncAsgardClient

    try:
        return AsyncAsgardClient(url, retry_for=retry_for, reconnect_for=RECONNECT_SECONDS)
    except ValueError as error:
        raise click.UsageError(str(error)) from error


async def explain(error: "AsgardError", client: "AsyncAsgardClient") -> str:
    """Return the message for an error, with hints on what to do."""
    from asgard_async.client import NotFound, Unauthorized

    if isinstance(error, Unauthorized) and error.kind.endswith(":not-authenticated"):
        return (
            "The token in ASGARD_TOKEN is invalid or revoked."
            if os.environ.get("ASGARD_TOKEN")
            else "Authentication required; set ASGARD_TOKEN."
        )
    paragraphs = [multi_line(_in_terms_of_the_cli(str(error)))]
    if isinstance(error, NotFound) and error.kind.endswith(":job-not-found"):
        paragraphs += await _recent_jobs(client)
    if isinstance(error, NotFound) and error.kind == "about:blank":
        paragraphs.append(
            f"Is {one_line(client.url)} the address of an Asgard service? (--url, ASGARD_URL)"
        )
    if error.request_id and error.status == 500:
        paragraphs.append(
            f"See the service's log for details (request ID {one_line(error.request_id)})."
        )
    return "\n".join(paragraphs)


def _in_terms_of_the_cli(message: str) -> str:
    for term, replacement in TERMS_OF_THE_CLI.items():
        message = message.replace(term, replacement, 1)
    return message


async def _recent_jobs(client: "AsyncAsgardClient") -> list[str]:
    from asgard_async.client import AsgardError

    try:
        jobs = [job async for job in client.list(limit=RECENT_JOBS)]
    except AsgardError:
        return []
    rows = [
        one_line(f"  {job.job_id}  {job.status:<9}  {job.script_name}  {job.experiment_name}")
        for job in jobs
    ]
    return ["Recent jobs:", *rows] if rows else ["There are no jobs."]


async def resolve_job_id(client: "AsyncAsgardClient", text: str) -> str:
    """Return the id of a job, given its id or a prefix that is unique among the newest 500 jobs.

    Raises:
        Failure: several ids have this prefix.
    """
    prefix = text.strip().lower()
    if len(prefix) >= 8 or not prefix or prefix.strip("0123456789abcdef"):
        return text
    job_ids = [job.job_id async for job in client.list(limit=500) if job.job_id.startswith(prefix)]
    if len(job_ids) > 1:
        raise Failure(f"Several job IDs start with {prefix}: {', '.join(job_ids[:10])}")
    return job_ids[0] if job_ids else text


def as_document(record: Any) -> Any:
    """Convert a record of the client to built-in types, for JSON."""
    import msgspec

    return msgspec.to_builtins(record)
