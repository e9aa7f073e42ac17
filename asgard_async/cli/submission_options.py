"""The options that `asgard run` and `asgard retry` share: those of a submission."""

import os
import re
from collections.abc import Callable
from functools import reduce
from pathlib import Path
from typing import Any, TypedDict

import click

from asgard_async.cli.connection import Failure
from asgard_async.cli.exit_codes import NO_RESULT
from asgard_async.cli.key_values import pairs, scalar
from asgard_async.cli.options import requirements_option
from asgard_async.cli.sanitiser import one_line
from asgard_async.core.requirements_file import RequirementsFileError, read_with_includes

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


class SubmissionOptions(TypedDict):
    """The values of the options."""

    experiment: str | None
    model: str | None
    requirement: tuple[str, ...]
    requirements_file: Path | None
    env: tuple[str, ...]
    param: tuple[str, ...]
    timeout: int | None
    tag: tuple[str, ...]
    priority: int | None
    memory: int | None
    cpus: float | None
    idempotency_key: str | None
    warm: bool | None


def submission_options(*, experiment: str, model: str, timeout: str) -> Callable[[Any], Any]:
    """Add the options to a command. The arguments are the defaults that the help names."""
    options: list[Callable[[Any], Any]] = [
        click.option(
            "--experiment", metavar="NAME", help=f"MLflow experiment.  [default: {experiment}]"
        ),
        click.option("--model", metavar="NAME", help=f"Registered model.  [default: {model}]"),
        click.option(
            "-r", "requirement", multiple=True, metavar="REQ", help="Add a requirement; repeatable."
        ),
        requirements_option,
        click.option(
            "--env",
            multiple=True,
            metavar="K=V",
            help="Set an environment variable; repeatable. K alone passes on its current value.",
        ),
        click.option(
            "--param",
            multiple=True,
            metavar="K=V",
            help="Set a parameter of the script, passed as --K=V; repeatable.",
        ),
        click.option(
            "--timeout",
            type=int,
            metavar="S",
            help="Stop the script after S seconds. The bounds are the service's; asgard status"
            f" shows them (60 to 3600 unless configured).  [default: {timeout}]",
        ),
        click.option("--tag", multiple=True, metavar="K=V", help="Tag MLflow runs; repeatable."),
        click.option("--priority", type=int, metavar="N", help="-100 to 100; higher runs first."),
        click.option(
            "--memory", type=MemorySize(), metavar="SIZE", help="Memory limit, such as 512M or 4G."
        ),
        click.option("--cpus", type=Cpus(min=0.01), metavar="N", help="CPU limit, such as 1.5."),
        click.option(
            "--idempotency-key",
            metavar="KEY",
            help="Submit only once: the same key and submission return the same job.",
        ),
        click.option(
            "--warm/--no-warm",
            default=None,
            help="Start in an interpreter with preloaded modules, or in a new one.",
        ),
    ]
    return lambda command: reduce(lambda wrapped, add: add(wrapped), reversed(options), command)


def fields_of(options: SubmissionOptions, arguments: tuple[str, ...]) -> dict[str, Any]:
    """Return the fields of a submission that the options and the script's arguments set.

    Raises:
        click.BadParameter: an option is malformed.
        Failure: the requirements cannot be read.
    """
    params = pairs("--param", options["param"], {})
    requirements = [*options["requirement"], *_requirements_in(options["requirements_file"])]
    fields: dict[str, Any] = {
        "experiment_name": options["experiment"],
        "model_name": options["model"],
        "requirements": requirements or None,
        "environment_vars": pairs("--env", options["env"], os.environ) or None,
        "args": list(arguments) or None,
        "params": {name: scalar(text) for name, text in params.items()} or None,
        "timeout": options["timeout"],
        "tags": pairs("--tag", options["tag"], {}) or None,
        "priority": options["priority"],
        "memory_mb": options["memory"],
        "cpus": options["cpus"],
        "idempotency_key": options["idempotency_key"],
        "warm": options["warm"],
    }
    return {name: value for name, value in fields.items() if value is not None}


def _requirements_in(file: Path | None) -> list[str]:
    try:
        return read_with_includes(file) if file else []
    except RequirementsFileError as error:
        raise Failure("\n".join(map(one_line, error.problems)), NO_RESULT) from error
