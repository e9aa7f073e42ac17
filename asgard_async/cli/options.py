"""Options that several commands share."""

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, TextIO

import click

if TYPE_CHECKING:
    from asgard_async.config import Config

config_option: Callable[[Any], Any] = click.option(
    "--config",
    "file",
    type=click.Path(path_type=Path),
    envvar="ASGARD_CONFIG",
    help="Configuration file; only keys that differ from the defaults need to stand in it.",
)

data_dir_option: Callable[[Any], Any] = click.option(
    "--data-dir", help="The service's data directory."
)

json_option: Callable[[Any], Any] = click.option(
    "--json", "as_json", is_flag=True, help="Print JSON."
)

requirements_option: Callable[[Any], Any] = click.option(
    "--requirements",
    "requirements_file",
    type=click.File("r", encoding="utf-8"),
    help="A requirements.txt: names and versions, no options.",
)

url_option: Callable[[Any], Any] = click.option(
    "--url",
    metavar="URL",
    help="Where the service is.  [default: ASGARD_URL, or http://127.0.0.1:8000]",
)


def requirements_in(file: TextIO | None) -> list[str]:
    """The lines of a requirements.txt without comments; the service judges what else is there."""
    if file is None:
        return []
    stripped = (line.partition(" #")[0].strip() for line in file)
    return [line for line in stripped if line and not line.startswith("#")]


def load_or_exit(file: Path | None, **server: Any) -> "Config":
    """The configuration with the given [server] keys on top; exits with 2 when it is wrong."""
    # imported late: the commands that speak HTTP do without
    from asgard_async.config import ConfigError, load_config

    given = {key: value for key, value in server.items() if value is not None}
    try:
        return load_config(file, overrides={"server": given})
    except ConfigError as error:
        raise click.UsageError(str(error)) from error
