"""The `asgard doctor` command."""

import asyncio
import json
import sys
from collections.abc import Awaitable, Callable
from pathlib import Path

import click

from asgard_async.cli.checks.access import access
from asgard_async.cli.checks.configuration import configuration
from asgard_async.cli.checks.finding import Finding, Level
from asgard_async.cli.checks.machine import isolation, limits, open_files, uv
from asgard_async.cli.checks.mlflow import mlflow
from asgard_async.cli.checks.service import service
from asgard_async.cli.checks.storage import clock, data_directory, database, disk
from asgard_async.cli.data_directory import open_data_directory
from asgard_async.cli.options import (
    config_option,
    create_option,
    data_dir_option,
    json_option,
)
from asgard_async.cli.sanitiser import one_line
from asgard_async.config import Config
from asgard_async.config.data_directory import DataDirectory

Check = Callable[[Config, DataDirectory], Awaitable[Finding]]

CHECKS: tuple[Check, ...] = (
    configuration,
    service,
    access,
    data_directory,
    isolation,
    disk,
    database,
    clock,
    mlflow,
    uv,
    open_files,
    limits,
)
"""The checks in the order in which they are shown."""

MARKS = {Level.OK: ("ok", "green"), Level.WARN: ("warn", "yellow"), Level.FAIL: ("FAIL", "red")}


@click.command()
@config_option
@data_dir_option
@create_option
@json_option
def doctor(file: Path | None, data_dir: str | None, creates: bool, as_json: bool) -> None:
    """Check this installation and suggest fixes.

    Works with or without a running service, and changes nothing without --create. Exits
    with status 1 if a check fails; warnings do not count.

    \b
    Examples:
      asgard doctor
      asgard doctor --create    # before the first start
      asgard doctor --data-dir /srv/asgard --json
    """
    config, data = open_data_directory(file, data_dir, creates=creates, must_exist=False)
    findings = asyncio.run(_run_checks(config, data))
    if as_json:
        click.echo(json.dumps([finding.as_dict() for finding in findings], indent=2))
    else:
        for finding in findings:
            _show(finding)
    if any(finding.level is Level.FAIL for finding in findings):
        sys.exit(1)


async def _run_checks(config: Config, data: DataDirectory) -> list[Finding]:
    return [await check(config, data) for check in CHECKS]


def _show(finding: Finding) -> None:
    mark, colour = MARKS[finding.level]
    # findings quote files and servers that others control
    click.echo(
        f"{click.style(f'{mark:>4}', fg=colour)}  {finding.about}: {one_line(finding.found)}"
    )
    if finding.remedy:
        click.echo(f"      → {one_line(finding.remedy)}")
