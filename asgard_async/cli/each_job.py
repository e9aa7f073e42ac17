"""Doing the same to several jobs: one refusal neither hides nor stops the others."""

from collections.abc import Awaitable, Callable, Sequence
from typing import TYPE_CHECKING, TypeVar

import click

from asgard_async.cli.connection import Failure, resolve, words_for

if TYPE_CHECKING:
    from asgard_async.client import AsyncAsgardClient

T = TypeVar("T")


async def for_each_job(
    client: "AsyncAsgardClient",
    given: Sequence[str],
    act: Callable[[str], Awaitable[T]],
) -> tuple[list[T], bool]:
    """What `act` came to for the jobs of the given ids, and whether it was done for all of them.

    Refusals are told on stderr. When the service cannot be reached, nothing more is tried.

    Raises:
        ConnectionFailed: see there.
    """
    # imported late: help and completion do without
    from asgard_async.client import AsgardError, ConnectionFailed

    done = []
    for one in given:
        try:
            done.append(await act(await resolve(client, one)))
        except ConnectionFailed:
            raise
        except AsgardError as error:
            Failure(await words_for(error, client)).show()
        except Failure as error:
            error.show()
    return done, len(done) == len(given)


def exit_unless(complete: bool) -> None:
    """Exit with 1 where something was refused."""
    if not complete:
        raise click.exceptions.Exit(1)
