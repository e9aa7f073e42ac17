"""The `asgard env` command. Works while the service is running."""

import asyncio
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import click

from asgard_async.cli.data_directory import open_data_directory
from asgard_async.cli.options import (
    config_option,
    create_option,
    data_dir_option,
    json_option,
    requirements_option,
)
from asgard_async.cli.sanitiser import one_line
from asgard_async.config import Config, ConfigError
from asgard_async.config.data_directory import DataDirectory
from asgard_async.core.requirements_file import RequirementsFileError, read_with_includes
from asgard_async.core.timestamps import rfc3339
from asgard_async.domain.errors import InvalidSubmission
from asgard_async.environments.builder import BuildFailed
from asgard_async.environments.cache import CachedEnvironment, EnvironmentCache
from asgard_async.environments.provider import create_environment_provider
from asgard_async.jobs.submit.requirements import parse_requirements
from asgard_async.supervisor.sandbox.selector import IsolationSelector


@click.group()
def env() -> None:
    """List, build and prune job environments."""


@env.command("list")
@config_option
@data_dir_option
@json_option
def list_environments(file: Path | None, data_dir: str | None, as_json: bool) -> None:
    """List the built environments, least recently used first.

    \b
    Examples:
      asgard env list
      asgard env list --json
    """
    _, data = open_data_directory(file, data_dir)
    cache = EnvironmentCache(data.environments)
    environments = [_describe(environment) for environment in cache.all()]
    if as_json:
        click.echo(json.dumps(environments, indent=2))
        return
    for environment in environments:
        use = "in use" if environment["in_use"] else f"last used {environment['last_used_at']}"
        click.echo(f"{environment['key']}  {environment['size_bytes'] >> 20:6d} MiB  {use}")
        click.echo(f"    {one_line(', '.join(environment['requirements']))}")
    if not environments:
        click.echo("No environments; all jobs so far ran in Asgard's own environment.")


@env.command()
@config_option
@data_dir_option
@create_option
@click.option(
    "-r", "requirement", multiple=True, metavar="REQ", help="Add a requirement; repeatable."
)
@requirements_option
def build(
    file: Path | None,
    data_dir: str | None,
    creates: bool,
    requirement: tuple[str, ...],
    requirements_file: Path | None,
) -> None:
    """Build an environment ahead of time.

    \b
    Examples:
      asgard env build -r xgboost -r 'lightgbm>=4'
      asgard env build --requirements requirements.txt
    """
    try:
        included = read_with_includes(requirements_file) if requirements_file else []
    except RequirementsFileError as error:
        raise click.UsageError("\n".join(error.problems)) from error
    requirements = (*requirement, *included)
    if not requirements:
        raise click.UsageError("Give at least one requirement: -r NAME, or --requirements FILE.")
    # as the service's user: a build script is untrusted code and must not run as root
    config, data = open_data_directory(file, data_dir, creates=creates, runs_programs=True)
    try:
        parse_requirements(
            requirements, direct_references=config.environments.allow_direct_references
        )
        asyncio.run(_build(config, data, requirements))
    except InvalidSubmission as error:
        raise click.UsageError(" ".join(error.errors["requirements"])) from error
    except BuildFailed as error:
        raise click.ClickException(str(error)) from error


@env.command()
@config_option
@data_dir_option
@click.option(
    "--max-mb",
    type=click.IntRange(min=0),
    metavar="N",
    help="Keep at most N MiB; 0 deletes all.  [default: [environments] max_cache_mb]",
)
def prune(file: Path | None, data_dir: str | None, max_mb: int | None) -> None:
    """Delete the least recently used environments until the rest fits.

    Environments that a job is using are kept.

    \b
    Examples:
      asgard env prune              # down to [environments] max_cache_mb
      asgard env prune --max-mb 0   # all
    """
    config, data = open_data_directory(file, data_dir)
    limit_mb = config.environments.max_cache_mb if max_mb is None else max_mb
    cache = EnvironmentCache(data.environments)
    removed = cache.prune(max_bytes=limit_mb << 20)
    for key in removed:
        click.echo(f"deleted {key}")
    kept = _kept_for_jobs(cache.all(), max_bytes=limit_mb << 20)
    for key in kept:
        click.echo(f"kept {key}: a job is using it")
    if not removed and not kept:
        click.echo("Nothing to delete.")


async def _build(config: Config, data: DataDirectory, requirements: tuple[str, ...]) -> None:
    try:
        data.make()
        selector = IsolationSelector(config, data)
    except ConfigError as error:
        raise click.ClickException(str(error)) from error
    environments = create_environment_provider(
        config, data, selector, enforcer=None, compile_niceness=0
    )
    environment_spec = environments.spec_for(requirements)
    if environment_spec.moving:
        raise click.UsageError(
            f"{', '.join(environment_spec.moving)} may change between builds, so every job builds"
            " its own environment. To share one, pin a full commit or the file's #sha256=…."
        )
    if environments.is_base(requirements):
        click.echo("Asgard's own environment satisfies the requirements; nothing to build.")
        return
    with environments.held(environment_spec) as environment:
        if environment is not None:
            click.echo(f"{environment_spec.key} is already built.")
            return
    await selector.choose()
    if selector.problem is not None:
        raise click.ClickException(selector.problem)
    click.echo(f"building {environment_spec.key}…", err=True)
    await environments.build(environment_spec)
    await environments.compiled()
    click.echo(f"built {environment_spec.key}")


def _kept_for_jobs(remaining: Sequence[CachedEnvironment], *, max_bytes: int) -> list[str]:
    """Return the keys of environments that pruning would have deleted if no job used them."""
    exceeds = sum(environment.size_bytes() for environment in remaining) > max_bytes
    return [
        environment.key
        for environment in remaining
        if (exceeds or environment.is_for_one_job) and environment.is_in_use()
    ]


def _describe(environment: CachedEnvironment) -> dict[str, Any]:
    return {
        "key": environment.key,
        "requirements": environment.requirements,
        "size_bytes": environment.size_bytes(),
        "last_used_at": rfc3339(environment.last_used_at, "seconds"),
        "in_use": environment.is_in_use(),
    }
