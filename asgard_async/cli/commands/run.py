"""The `asgard run` command."""

import asyncio
import contextlib
import os
import re
import sys
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import click

from asgard_async.cli.connection import Failure, as_document, client_command, connect
from asgard_async.cli.entrypoint import entrypoint_for
from asgard_async.cli.exit_codes import NO_RESULT, exit_code_of
from asgard_async.cli.key_values import pairs, scalar
from asgard_async.cli.options import json_option, requirements_option
from asgard_async.cli.output import print_json
from asgard_async.cli.sanitiser import one_line
from asgard_async.core.requirements_file import RequirementsFileError, read_with_includes

if TYPE_CHECKING:
    from asgard_async.client import AsyncAsgardClient, Job

DETACH_SECONDS = 2.0
"""Time limit for looking up the job's state after detaching."""
MIB_PER_UNIT = {"M": 1, "G": 1024, "T": 1024**2}


class MemorySize(click.ParamType[int]):
    """A size such as 4G, 512M or 512MiB (powers of 1024), converted to MiB."""

    name = "size"

    def convert(
        self, value: object, param: click.Parameter | None, ctx: click.Context | None
    ) -> int:
        match = re.fullmatch(r"(\d{1,9}(?:\.\d{1,3})?)([MGT])(?:i?B)?", str(value), re.IGNORECASE)
        mib = round(float(match[1]) * MIB_PER_UNIT[match[2].upper()]) if match else 0
        if mib < 1:
            is_number = str(value).replace(".", "", 1).isdecimal()
            hint = "add a unit, e.g. 4G" if is_number else "expected e.g. 512M or 4G"
            self.fail(f"Invalid size {value!r}; {hint}.", param, ctx)
        return mib


class Cpus(click.FloatRange):
    """A number of CPUs."""

    def convert(
        self, value: object, param: click.Parameter | None, ctx: click.Context | None
    ) -> float:
        try:
            number = float(str(value))
        except ValueError:
            self.fail(f"Invalid number {value!r}; expected e.g. 1.5.", param, ctx)
        return super().convert(number, param, ctx)


@click.command()
@click.argument("script", type=click.Path(exists=True, path_type=Path))
@click.argument("arguments", nargs=-1, metavar="[-- ARGS…]")
@click.option(
    "--entrypoint", metavar="FILE", help="The .py file to run in an archive or a directory."
)
@click.option(
    "--experiment", metavar="NAME", help="MLflow experiment.  [default: the script's name]"
)
@click.option("--model", metavar="NAME", help="Registered model.  [default: the experiment's name]")
@click.option(
    "-r", "requirement", multiple=True, metavar="REQ", help="Add a requirement; repeatable."
)
@requirements_option
@click.option(
    "--env",
    multiple=True,
    metavar="K=V",
    help="Set an environment variable; repeatable. K alone passes on its current value.",
)
@click.option(
    "--param",
    multiple=True,
    metavar="K=V",
    help="Set a parameter of the script, passed as --K=V; repeatable.",
)
@click.option("--timeout", type=int, metavar="S", help="Stop the script after S seconds.")
@click.option("--tag", multiple=True, metavar="K=V", help="Tag the MLflow runs; repeatable.")
@click.option(
    "--priority", type=int, default=0, metavar="N", help="-100 to 100; higher runs first."
)
@click.option(
    "--memory", type=MemorySize(), metavar="SIZE", help="Memory limit, such as 512M or 4G."
)
@click.option("--cpus", type=Cpus(min=0.01), metavar="N", help="CPU limit, such as 1.5.")
@click.option(
    "--idempotency-key",
    metavar="KEY",
    help="Submit only once: the same key and submission return the same job.",
)
@click.option("--no-warm", is_flag=True, help="Start in a new interpreter, without preloading.")
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
    experiment: str | None,
    model: str | None,
    requirement: tuple[str, ...],
    requirements_file: Path | None,
    env: tuple[str, ...],
    param: tuple[str, ...],
    timeout: int | None,  # noqa: ASYNC109  # the script's
    tag: tuple[str, ...],
    priority: int,
    memory: int | None,
    cpus: float | None,
    idempotency_key: str | None,
    no_warm: bool,
    detach: bool,
    raw: bool,
    as_json: bool,
) -> None:
    """Run a training and follow it until it ends.

    SCRIPT is a .py file, an archive (.zip, .tar.gz) or a directory. --entrypoint names the file to
    run in the latter two; it may be omitted if there is only one candidate, and a terminal asks.

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
      asgard run . --entrypoint src/train.py --requirements requirements.txt
      asgard run train.py > log.txt
      id=$(asgard run train.py --detach)
      asgard run train.py --idempotency-key "$CI_PIPELINE_ID"
    """
    from asgard_async.cli.job_view import print_note

    chosen = entrypoint_for(script, entrypoint)
    if chosen != entrypoint:
        print_note(f"Running {chosen}.")
    name = _name_of(script)
    specification = {
        "experiment_name": experiment or name,
        "model_name": model or experiment or name,
        "requirements": [*requirement, *_requirements_in(requirements_file)],
        "environment_vars": pairs("--env", env, os.environ),
        "timeout": timeout,
        "args": arguments,
        "params": {name: scalar(text) for name, text in pairs("--param", param, {}).items()},
        "tags": pairs("--tag", tag, {}),
        "priority": priority,
        "memory_mb": memory,
        "cpus": cpus,
        "idempotency_key": idempotency_key,
        "warm": not no_warm,
        "entrypoint": chosen,
    }
    try:
        with _warnings_as_notes():
            job = await client.submit(script, **specification)  # type: ignore[arg-type]
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
    for suffix in (".py", *ARCHIVES):
        if name.lower().endswith(suffix):
            return name[: -len(suffix)]
    return name


def _requirements_in(file: Path | None) -> list[str]:
    try:
        return read_with_includes(file) if file else []
    except RequirementsFileError as error:
        raise Failure("\n".join(map(one_line, error.problems)), NO_RESULT) from error


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
    async with connect(url) as client:
        if as_json:
            print_json(as_document(finished_job))
        else:
            await print_summary(client, finished_job)
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
