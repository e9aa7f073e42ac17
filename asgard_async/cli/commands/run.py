"""`asgard run`: submit a training, show its log, exit as it does."""

import asyncio
import contextlib
import os
import re
import sys
from pathlib import Path
from typing import TYPE_CHECKING, TextIO

import click

from asgard_async.cli.connection import Failure, connect, document, speaks
from asgard_async.cli.exit_codes import NO_RESULT, exit_code_of
from asgard_async.cli.options import json_option, requirements_in, requirements_option
from asgard_async.cli.output import print_json
from asgard_async.cli.sanitiser import one_line

if TYPE_CHECKING:
    from asgard_async.client import AsyncAsgardClient, Job

FAREWELL_SECONDS = 2.0
"""How long who detaches waits to be told what became of the job."""
MIB_IN = {"M": 1, "G": 1024, "T": 1024**2}
ENDINGS = (".py", ".tar.gz", ".tgz", ".zip")


class MemorySize(click.ParamType[int]):
    """4G, 512M or 512MiB: powers of 1024, made MiB."""

    name = "size"

    def convert(
        self, value: object, param: click.Parameter | None, ctx: click.Context | None
    ) -> int:
        match = re.fullmatch(r"(\d{1,9}(?:\.\d{1,3})?)([MGT])(?:i?B)?", str(value), re.IGNORECASE)
        mib = round(float(match[1]) * MIB_IN[match[2].upper()]) if match else 0
        if mib < 1:
            self.fail(f"{value!r} is no size such as 512M or 4G.", param, ctx)
        return mib


@click.command()
@click.argument("script", type=click.Path(exists=True, path_type=Path))
@click.option("--entrypoint", help="Of an archive or a directory: its .py file to run.")
@click.option("--experiment", help="MLflow experiment.  [default: the script's name without .py]")
@click.option("--model", help="Name of the registered model.  [default: the same]")
@click.option("-r", "requirement", multiple=True, help="A requirement; repeatable.")
@requirements_option
@click.option(
    "--env",
    multiple=True,
    metavar="K=V",
    help="A variable for the script; repeatable. K alone passes on the present value.",
)
@click.option("--timeout", type=int, metavar="S", help="Seconds that the script may run.")
@click.option("--tag", multiple=True, metavar="K=V", help="A tag for its MLflow runs; repeatable.")
@click.option("--priority", type=int, default=0, help="-100 to 100; higher runs first.")
@click.option(
    "--memory", type=MemorySize(), metavar="SIZE", help="Memory that it may use: 512M, 4G."
)
@click.option("--cpus", type=click.FloatRange(min=0.01), help="CPUs that it may use, such as 1.5.")
@click.option("--no-warm", is_flag=True, help="Run in a new interpreter.")
@click.option("--detach", is_flag=True, help="Print the job's id and leave it running.")
@click.option("--raw", is_flag=True, help="Pass the log to the terminal unfiltered.")
@json_option
@speaks(failure=NO_RESULT)
async def run(
    client: "AsyncAsgardClient",
    *,
    script: Path,
    entrypoint: str | None,
    experiment: str | None,
    model: str | None,
    requirement: tuple[str, ...],
    requirements_file: TextIO | None,
    env: tuple[str, ...],
    timeout: int | None,  # noqa: ASYNC109  # the script's
    tag: tuple[str, ...],
    priority: int,
    memory: int | None,
    cpus: float | None,
    no_warm: bool,
    detach: bool,
    raw: bool,
    as_json: bool,
) -> None:
    """Train: submit a script, show its log, exit as it does.

    SCRIPT is a .py file or, with --entrypoint, an archive (.zip, .tar.gz) or a directory. stdout
    gets the log, byte for byte when it is no terminal; all else goes to stderr. With --json the log
    goes to stderr too, and stdout gets the job when it has ended.

    Ctrl-C asks what to do, and twice leaves the job running. Without a terminal, SIGINT and SIGTERM
    cancel it. Connections that break are made again.

    \b
    Exit code: the script's, or
      124      it took longer than its timeout
      125      it never ran or its end is unknown; the service refused or cannot be
               reached; detached by Ctrl-C
      128 + N  it was ended by signal N
      130      it was cancelled

    \b
    Examples:
      asgard run train.py
      asgard run train.py --experiment churn --model churn -r 'xgboost>=2' --env EPOCHS=20
      asgard run . --entrypoint src/train.py --requirements requirements.txt
      asgard run train.py > log.txt
      id=$(asgard run train.py --detach)
    """
    name = _name_of(script)
    specification = {
        "experiment_name": experiment or name,
        "model_name": model or experiment or name,
        "requirements": [*requirement, *requirements_in(requirements_file)],
        "environment_vars": _pairs("--env", env, os.environ),
        "timeout": timeout,
        "tags": _pairs("--tag", tag, {}),
        "priority": priority,
        "memory_mb": memory,
        "cpus": cpus,
        "warm": not no_warm,
        "entrypoint": entrypoint,
    }
    try:
        job = await client.submit(script, **specification)  # type: ignore[arg-type]
    except (ValueError, OSError) as error:
        raise Failure(one_line(str(error)), NO_RESULT) from error
    if detach:
        _print_detached(job, as_json=as_json)
        return
    await _stay(client.url, job, as_json=as_json, raw=raw)


def _name_of(script: Path) -> str:
    name = script.resolve().name
    for ending in ENDINGS:
        if name.lower().endswith(ending):
            return name[: -len(ending)]
    return name


def _pairs(
    option: str, given: tuple[str, ...], present: "os._Environ[str] | dict[str, str]"
) -> dict[str, str]:
    pairs = {}
    for pair in given:
        key, equals, value = pair.partition("=")
        if not equals and key not in present:
            raise click.BadParameter(f"{pair!r} is not K=V.", param_hint=f"'{option}'")
        pairs[key] = value if equals else present[key]
    return pairs


def _print_detached(job: "Job", *, as_json: bool) -> None:
    if as_json:
        print_json(document(job))
        return
    click.echo(job.job_id)
    if sys.stdout.isatty():
        click.echo(f"It goes on by itself. To see its log: asgard logs -f {job.job_id}", err=True)


async def _stay(url: str, job: "Job", *, as_json: bool, raw: bool) -> None:
    # imported late: --detach and refusals do without
    from asgard_async.cli.connection import RECONNECT_SECONDS
    from asgard_async.cli.follow_job import follow_job
    from asgard_async.cli.job_view import JobView, say
    from asgard_async.cli.log_output import LogOutput
    from asgard_async.cli.summary import print_summary

    say(f"Job {job.job_id} is accepted: {job.script_name} for experiment {job.experiment_name}.")
    view = JobView(LogOutput(sys.stderr if as_json else sys.stdout, raw=raw))
    # from here on the job is worth waiting for
    async with connect(url, retry_for=RECONNECT_SECONDS) as client:
        try:
            ended = await follow_job(client, job.job_id, view)
        except OSError as error:
            say(f"The log cannot be written: {error.strerror}.")
            ended = None
        finally:
            with contextlib.suppress(OSError):  # the terminal may be gone
                await view.close()
    if ended is None:
        say(await _farewell(url, job.job_id))
        raise SystemExit(NO_RESULT)
    async with connect(url) as client:
        if as_json:
            print_json(document(ended))
        else:
            await print_summary(client, ended)
    raise SystemExit(exit_code_of(ended))


async def _farewell(url: str, job_id: str) -> str:
    """What is said when nobody waits for the job any more: it may have ended, or be gone."""
    from asgard_async.client import AsgardError, NotFound

    with contextlib.suppress(AsgardError, TimeoutError):  # jobs go on without the service too
        async with asyncio.timeout(FAREWELL_SECONDS), connect(url, retry_for=0) as client:
            try:
                job = await client.get(job_id)
            except NotFound:
                return f"Detached; there is no job {job_id} any more."
            if job.is_finished:
                return f"Detached; the job has ended: {job.status}. All of it: asgard show {job_id}"
            if job.phase == "stopping":
                return f"Detached; the job is being stopped. To see more: asgard logs -f {job_id}"
    return f"Detached; the job goes on. To see more: asgard logs -f {job_id}"
