"""Applying an action to several jobs, continuing after errors for single jobs."""

from collections.abc import Awaitable, Callable, Sequence
from typing import TYPE_CHECKING, TypeVar

import click

from asgard_async.cli.connection import Failure, explain, resolve_job_id

if TYPE_CHECKING:
    from asgard_async.client import AsyncAsgardClient

T = TypeVar("T")


async def for_each_job(
    client: "AsyncAsgardClient",
    job_ids: Sequence[str],
    act: Callable[[str], Awaitable[T]],
) -> tuple[list[T], bool]:
    """Return the results of `act` for the jobs, and True if it succeeded for all jobs.

    Prints errors to stderr and continues, unless the service cannot be reached.

    Raises:
        ConnectionFailed: the service cannot be reached.
    """
    # imported late: help and completion work without it
    from asgard_async.client import AsgardError, ConnectionFailed

    results = []
    for job_id in job_ids:
        try:
            results.append(await act(await resolve_job_id(client, job_id)))
        except ConnectionFailed:
            raise
        except AsgardError as error:
            Failure(await explain(error, client)).show()
        except Failure as error:
            error.show()
    return results, len(results) == len(job_ids)


def exit_unless(succeeded: bool) -> None:
    """Exit with status 1 unless everything succeeded."""
    if not succeeded:
        raise click.exceptions.Exit(1)
