"""What keys demand of each other, and what of a value its type cannot say."""

from functools import partial
from typing import NoReturn

from yarl import URL

from asgard_async.config.sections import Config, ConfigError
from asgard_async.config.shown import ADDRESS_KEYS, shown


def check_together(config: Config) -> None:
    """Check what only the whole can be checked for.

    Raises:
        ConfigError: keys contradict each other, or a value is not what its key is for.
    """
    _check_jobs(config)
    _check_server(config)
    _check_mlflow(config)


def _refuse(config: Config, key: str, message: str) -> NoReturn:
    source = config.sources.get(key, "config.toml")
    section, _, name = key.partition(".")
    raise ConfigError(f"{source}: [{section}] {name}: {message}")


def _check_jobs(config: Config) -> None:
    fail = partial(_refuse, config)
    jobs = config.jobs
    if jobs.timeout_min > jobs.timeout_max:
        fail("jobs.timeout_min", f"must not exceed timeout_max ({jobs.timeout_max})")
    if not jobs.timeout_min <= jobs.timeout_default <= jobs.timeout_max:
        fail(
            "jobs.timeout_default",
            f"must lie between timeout_min ({jobs.timeout_min})"
            f" and timeout_max ({jobs.timeout_max})",
        )


def _check_server(config: Config) -> None:
    fail = partial(_refuse, config)
    in_base64 = config.jobs.max_script_bytes * 4 // 3 + 4096  # with room for the other fields
    if config.server.max_body_bytes < in_base64:
        fail("server.max_body_bytes", f"max_script_bytes in base64 needs at least {in_base64}")
    if config.http.max_bodies_bytes < config.server.max_body_bytes:
        fail("http.max_bodies_bytes", "must not be less than [server] max_body_bytes")
    try:
        _ = config.server.proxies
    except ValueError as error:
        fail("server.trusted_proxies", f"expected addresses or networks: {error}")
    try:
        _ = config.data_dir
    except RuntimeError:
        fail("server.data_dir", f"there is no such home directory: {config.server.data_dir!r}")


def _check_mlflow(config: Config) -> None:
    fail = partial(_refuse, config)
    mlflow = config.mlflow
    for key in sorted(ADDRESS_KEYS):
        if not _is_address(getattr(mlflow, key)):
            fail(
                f"mlflow.{key}",
                "expected an address such as http://host:5000"
                f" (given: {shown(key, getattr(mlflow, key))})",
            )
    if mlflow.token and (mlflow.username or mlflow.password):
        fail("mlflow.token", "give either a token or a username with a password, not both")
    if bool(mlflow.username) != bool(mlflow.password):
        fail("mlflow.password", "a username and a password are needed together")


def _is_address(uri: str) -> bool:
    try:
        return not uri or bool(URL(uri).host)
    except ValueError:
        return False
