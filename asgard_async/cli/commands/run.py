"""The `asgard run` command."""

import asyncio
import contextlib
import sys
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Unpack

import click

from asgard_async.cli.connection import Failure, as_document, client_command, connect
from asgard_async.cli.entrypoint import entrypoint_for
from asgard_async.cli.exit_codes import NO_RESULT, exit_code_of
from asgard_async.cli.options import json_option
from asgard_async.cli.output import print_json
from asgard_async.cli.sanitiser import one_line
from asgard_async.cli.submission_options import SubmissionOptions, fields_of, submission_options

if TYPE_CHECKING:
    from asgard_async.client import AsyncAsgardClient, Job

DETACH_SECONDS = 2.0
"""Time limit for looking up the job's state after detaching."""


@click.command()
@click.argument("script", type=click.Path(exists=True, path_type=Path))
@click.argument("arguments", nargs=-1, metavar="[-- ARGS…]")
@click.option(
    "--entrypoint",
    metavar="FILE",
    help="The .py file or notebook to run in an archive or a directory.",
)
@submission_options(
    experiment="the script's name",
    model="the experiment's name",
    timeout="the service's, 300 unless configured",
)
@click.option("--detach", is_flag=True, help="Print the job's ID and leave it running.")
@click.option("--raw", is_flag=True, help="Do not filter control sequences on a terminal.")
@json_option
@client_command(failure_code=NO_RESULT)
async def run(
    client: "AsyncAsgardClient",
    *,
    script: Path,
    arguments: tuple[str, ...],
    entrypoint: str | None,
    detach: bool,
    raw: bool,
    as_json: bool,
    **options: Unpack[SubmissionOptions],
) -> None:
    """Run a training and follow it until it ends.

    SCRIPT is a .py file, a notebook (.ipynb), an archive (.zip, .tar.gz) or a directory.
    --entrypoint names the file to run in the latter two; it may be omitted if there is only one
    candidate, and a terminal asks.

    Arguments after -- are the script's own. --param K=V adds --K=V after them, and is found by name
    in the job and in notebooks.

    The log goes to stdout, byte for byte unless that is a terminal; everything else goes to stderr.
    With --json the log goes to stderr too, and stdout gets the finished job.

    Ctrl-C asks what to do; pressed twice, it leaves the job running. Without a terminal, SIGINT and
    SIGTERM cancel the job. Lost connections are restored.

    \b
    Exit code: the script's, or
      124      the timeout expired
      125      the script did not run or its outcome is unknown, the service refused
               the job or cannot be reached, or you detached
      128 + N  signal N ended the script
      130      the job was cancelled

    \b
    Examples:
      asgard run train.py
      asgard run train.py --experiment churn --model churn -r 'xgboost>=2' --env EPOCHS=20
      asgard run train.py --param depth=6 -- --lr 0.1 --verbose
      asgard run analysis.ipynb --param lr=0.1
      asgard run . --entrypoint src/train.py --requirements requirements.txt
      asgard run train.py > log.txt
      id=$(asgard run train.py --detach)
      asgard run train.py --idempotency-key "$CI_PIPELINE_ID"
    """
    from asgard_async.cli.job_view import print_note

    upload, chosen = entrypoint_for(script, entrypoint)
    if chosen != entrypoint:
        print_note(f"Running {chosen}.")
    name = _name_of(script)
    specification = {
        "experiment_name": name,
        "model_name": options["experiment"] or name,
        "entrypoint": chosen,
        **fields_of(options, arguments),
    }
    try:
        with _warnings_as_notes():
            job = await client.submit(upload, **specification)
    except (ValueError, OSError) as error:
        raise Failure(one_line(str(error)), NO_RESULT) from error
    if detach:
        _print_detached(job, as_json=as_json)
        return
    await _follow(client.url, job, as_json=as_json, raw=raw)


@contextlib.contextmanager
def _warnings_as_notes() -> Iterator[None]:
    from asgard_async.cli.job_view import print_note
    from asgard_async.client import UploadWarning

    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always", UploadWarning)
        yield
    for warning in caught:
        if isinstance(warning.message, UploadWarning):
            print_note(one_line(str(warning.message)))


def _name_of(script: Path) -> str:
    from asgard_async.client.submission import ARCHIVES

    name = script.resolve().name
    for suffix in (".py", ".ipynb", *ARCHIVES):
        if name.lower().endswith(suffix):
            return name[: -len(suffix)]
    return name


def _print_detached(job: "Job", *, as_json: bool) -> None:
    if as_json:
        print_json(as_document(job))
        return
    click.echo(job.job_id)
    if sys.stdout.isatty():
        click.echo(
            f"The job runs in the background. Its log: asgard logs -f {job.job_id}", err=True
        )


async def _follow(url: str, job: "Job", *, as_json: bool, raw: bool) -> None:
    # imported late: --detach and errors do not need it
    from asgard_async.cli.connection import RECONNECT_SECONDS
    from asgard_async.cli.follow_job import follow_job
    from asgard_async.cli.job_view import JobView, print_note
    from asgard_async.cli.log_output import LogOutput
    from asgard_async.cli.summary import print_summary

    print_note(f"Submitted job {job.job_id}: {job.script_name}, experiment {job.experiment_name}.")
    view = JobView(LogOutput(sys.stderr if as_json else sys.stdout, raw=raw))
    # the job has been accepted, so a longer outage is tolerated from here on
    async with connect(url, retry_for=RECONNECT_SECONDS) as client:
        try:
            finished_job = await follow_job(client, job.job_id, view)
        except OSError as error:
            print_note(f"The log cannot be written: {error.strerror}.")
            finished_job = None
        finally:
            with contextlib.suppress(OSError):  # the terminal may have closed
                await view.close()
    if finished_job is None:
        print_note(await _detached_message(url, job.job_id))
        raise SystemExit(NO_RESULT)
    if as_json:
        print_json(as_document(finished_job))
    else:
        print_summary(finished_job)
    raise SystemExit(exit_code_of(finished_job))


async def _detached_message(url: str, job_id: str) -> str:
    """Return the message after detaching; the job may have ended or been deleted by then."""
    from asgard_async.client import AsgardError, NotFound

    with contextlib.suppress(AsgardError, TimeoutError):  # jobs continue without the service too
        async with asyncio.timeout(DETACH_SECONDS), connect(url, retry_for=0) as client:
            try:
                job = await client.get(job_id)
            except NotFound:
                return f"Detached; job {job_id} has been deleted."
            if job.is_finished:
                return f"Detached; the job has {job.status}. Details: asgard show {job_id}"
            if job.phase == "stopping":
                return f"Detached; the job is being stopped. Its log: asgard logs -f {job_id}"
    return f"Detached; the job is still running. Its log: asgard logs -f {job_id}"
