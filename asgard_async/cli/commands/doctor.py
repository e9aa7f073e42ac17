"""`asgard doctor`: is everything as it should be, and what to do where it is not."""

import asyncio
import json
import sys
from pathlib import Path

import click

from asgard_async.cli.checks import CHECKS, Finding, Level
from asgard_async.cli.limits_check import limits
from asgard_async.cli.options import config_option, data_dir_option, json_option, load_or_exit
from asgard_async.config import Config
from asgard_async.config.data_directory import DataDirectory

MARKS = {Level.OK: ("ok", "green"), Level.WARN: ("warn", "yellow"), Level.FAIL: ("FAIL", "red")}


@click.command()
@config_option
@data_dir_option
@json_option
def doctor(file: Path | None, data_dir: str | None, as_json: bool) -> None:
    """Check this installation, and say how to mend what is wrong.

    Works whether the service runs or not, and changes nothing. Exits with 1 if a check fails;
    warnings are no failure.

    \b
    Examples:
      asgard doctor
      asgard doctor --data-dir /srv/asgard --json
    """
    config = load_or_exit(file, data_dir=data_dir)
    data = DataDirectory(root=config.data_dir)
    findings = asyncio.run(_examine_all(config, data))
    if as_json:
        click.echo(json.dumps([finding.as_dict() for finding in findings], indent=2))
    else:
        for finding in findings:
            _show(finding)
    if any(finding.level is Level.FAIL for finding in findings):
        sys.exit(1)


async def _examine_all(config: Config, data: DataDirectory) -> list[Finding]:
    return [await check(config, data) for check in (*CHECKS, limits)]


def _show(finding: Finding) -> None:
    word, colour = MARKS[finding.level]
    click.echo(f"{click.style(f'{word:>4}', fg=colour)}  {finding.about}: {finding.found}")
    if finding.remedy:
        click.echo(f"      → {finding.remedy}")
