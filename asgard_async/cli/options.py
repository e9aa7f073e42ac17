"""Options that several commands share."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import click

from asgard_async.config import Config, ConfigError, load_config

config_option: Callable[[Any], Any] = click.option(
    "--config",
    "file",
    type=click.Path(path_type=Path),
    envvar="ASGARD_CONFIG",
    help="Configuration file; only keys that differ from the defaults need to stand in it.",
)


def load_or_exit(file: Path | None, **server: Any) -> Config:
    """The configuration with the given [server] keys on top; exits with 2 when it is wrong."""
    given = {key: value for key, value in server.items() if value is not None}
    try:
        return load_config(file, overrides={"server": given})
    except ConfigError as error:
        raise click.UsageError(str(error)) from error
