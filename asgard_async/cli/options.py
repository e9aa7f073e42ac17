"""Options shared by several commands."""

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

if TYPE_CHECKING:
    from asgard_async.config import Config

config_option: Callable[[Any], Any] = click.option(
    "--config",
    "file",
    type=click.Path(path_type=Path),
    envvar="ASGARD_CONFIG",
    metavar="FILE",
    help="TOML file with settings that override the defaults.  [env: ASGARD_CONFIG]",
)

data_dir_option: Callable[[Any], Any] = click.option(
    "--data-dir",
    metavar="DIR",
    help="Data directory of the service.  [default: from the configuration, or that of the service"
    " at ASGARD_URL on this machine]",
)

create_option: Callable[[Any], Any] = click.option(
    "--create", "creates", is_flag=True, help="Create the data directory if it does not exist."
)

json_option: Callable[[Any], Any] = click.option(
    "--json", "as_json", is_flag=True, help="Print JSON."
)

requirements_option: Callable[[Any], Any] = click.option(
    "--requirements",
    "requirements_file",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    metavar="FILE",
    help="Add the requirements of a requirements.txt, and of files that it includes with -r.",
)

url_option: Callable[[Any], Any] = click.option(
    "--url",
    metavar="URL",
    help="URL of the service.  [default: ASGARD_URL, or http://127.0.0.1:8000]",
)


def load_or_exit(file: Path | None, **server: Any) -> "Config":
    """Load the configuration with overrides for [server]; exit with status 2 if it is invalid."""
    # imported late: the commands that use the HTTP API work without it
    from asgard_async.config import ConfigError, load_config

    overrides = {key: value for key, value in server.items() if value is not None}
    try:
        return load_config(file, overrides={"server": overrides})
    except ConfigError as error:
        raise click.UsageError(str(error)) from error
