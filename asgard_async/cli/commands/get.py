"""The `asgard get` command."""

import sys
from collections.abc import Awaitable, Callable
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import click

from asgard_async.cli.connection import Failure, as_document, client_command, resolve_job_id
from asgard_async.cli.options import json_option
from asgard_async.cli.output import cell, empty_table, local_time, print_json, print_table, size
from asgard_async.cli.sanitiser import one_line

if TYPE_CHECKING:
    from asgard_async.client import AsyncAsgardClient


@click.command()
@click.argument("job_id", metavar="JOB")
@click.argument("paths", metavar="[PATH]…", nargs=-1)
@click.option(
    "-o",
    "--output",
    type=click.Path(file_okay=False, path_type=Path),
    metavar="DIR",
    help="Write to this directory.  [default: the current one; without PATH, one named as the job]",
)
@click.option("-l", "--list", "only_list", is_flag=True, help="List the files.")
@click.option("-f", "--force", is_flag=True, help="Overwrite existing files without asking.")
@json_option
@client_command()
async def get(
    client: "AsyncAsgardClient",
    *,
    job_id: str,
    paths: tuple[str, ...],
    output: Path | None,
    only_list: bool,
    force: bool,
    as_json: bool,
) -> None:
    """Download files that a job left in its working directory.

    PATH is a file or a folder there. Without PATH, everything is downloaded, to a directory named
    as the job. Works while the job runs and after it ended, until [retention] deletes its files.

    Links and special files are left out, and nothing is written outside of DIR. If files exist, a
    terminal asks whether to overwrite them; otherwise nothing is downloaded without --force.

    \b
    Examples:
      asgard get 3f9c01ab --list
      asgard get 3f9c01ab                        # to ./3f9c01ab/
      asgard get 3f9 outputs/model.pkl plots -o results
    """
    job_id = await resolve_job_id(client, job_id)
    if only_list:
        await _list(client, job_id, paths, as_json=as_json)
        return
    directory = output or Path("." if paths else job_id)
    written: list[Path] = []

    def report(path: Path) -> None:
        written.append(path)
        if not as_json:
            click.echo(one_line(str(path)))

    for path in paths or (None,):
        download = partial(client.download, job_id, path, to=directory, on_file=report)
        await _download(download, overwrite=force)
    if as_json:
        print_json([str(path) for path in written])
    elif not written:
        click.echo("The job has left no files.", err=True)


async def _download(download: Callable[..., Awaitable[object]], *, overwrite: bool) -> None:
    try:
        try:
            await download(overwrite=overwrite)
        except FileExistsError as error:
            if not _may_overwrite(str(error)):
                raise
            await download(overwrite=True)
    except FileExistsError as error:
        raise Failure(f"{error}; --force overwrites.") from error
    except (ValueError, OSError) as error:
        raise Failure(str(error)) from error


def _may_overwrite(message: str) -> bool:
    if not (sys.stdin.isatty() and sys.stderr.isatty()):
        return False
    return click.confirm(f"{one_line(message)}. Overwrite?", err=True)


async def _list(
    client: "AsyncAsgardClient", job_id: str, paths: tuple[str, ...], *, as_json: bool
) -> None:
    listings = [await client.files(job_id, path) for path in paths or ("",)]
    files = [file for listing in listings for file in listing]
    if as_json:
        print_json([as_document(file) for file in files])
    elif files:
        table = empty_table("size", "modified", "path")
        for file in files:
            note = "" if file.type in {"file", "directory"} else f" ({file.type})"
            table.add_row(
                cell(size(file.size)),
                cell(local_time(file.modified_at)),
                cell(f"{file.path}{'/' * (file.type == 'directory')}{note}"),
            )
        print_table(table)
    else:
        click.echo("The job has left no files.", err=True)
    if not all(listing.complete for listing in listings):
        click.echo("There are more files, or folders that cannot be read.", err=True)
