"""Checks across keys, and checks of values that types cannot express."""

from collections.abc import Callable
from functools import partial

from yarl import URL

from asgard_async.config.redacted import ADDRESS_KEYS, redacted
from asgard_async.config.sections import Config

Problems = list[str]


def problems_together(config: Config) -> Problems:
    """Check keys against each other, and addresses and networks; return what is wrong."""
    problems: Problems = []
    refuse = partial(_refuse, config, problems)
    _check_jobs(config, refuse)
    _check_server(config, refuse)
    _check_mlflow(config, refuse)
    return problems


def _refuse(config: Config, problems: Problems, key: str, message: str) -> None:
    source = config.sources.get(key, "config.toml")
    section, _, name = key.partition(".")
    problems.append(f"{source}: [{section}] {name}: {message}")


def _check_jobs(config: Config, fail: Callable[[str, str], None]) -> None:
    jobs = config.jobs
    if jobs.timeout_min > jobs.timeout_max:
        fail("jobs.timeout_min", f"must not exceed timeout_max ({jobs.timeout_max})")
    elif not jobs.timeout_min <= jobs.timeout_default <= jobs.timeout_max:
        fail(
            "jobs.timeout_default",
            f"must be between timeout_min ({jobs.timeout_min})"
            f" and timeout_max ({jobs.timeout_max})",
        )


def _check_server(config: Config, fail: Callable[[str, str], None]) -> None:
    in_base64 = config.jobs.max_script_bytes * 4 // 3 + 4096  # 4 KiB for the other fields
    if config.server.max_body_bytes < in_base64:
        fail(
            "server.max_body_bytes",
            f"must be at least {in_base64}: [jobs] max_script_bytes in base64",
        )
    if config.http.max_bodies_bytes < config.server.max_body_bytes:
        fail("http.max_bodies_bytes", "must be at least [server] max_body_bytes")
    try:
        _ = config.server.proxies
    except ValueError as error:
        fail("server.trusted_proxies", f"expected addresses or networks: {error}")
    try:
        _ = config.data_dir
    except RuntimeError:
        fail("server.data_dir", f"no such home directory: {config.server.data_dir!r}")


def _check_mlflow(config: Config, fail: Callable[[str, str], None]) -> None:
    mlflow = config.mlflow
    for key in sorted(ADDRESS_KEYS):
        if not _is_address(getattr(mlflow, key)):
            fail(
                f"mlflow.{key}",
                "expected a URL such as http://host:5000"
                f" (got: {redacted(key, getattr(mlflow, key))})",
            )
    if mlflow.token and (mlflow.username or mlflow.password):
        fail("mlflow.token", "set either a token or a username and password, not both")
    if bool(mlflow.username) != bool(mlflow.password):
        fail("mlflow.password", "username and password must be set together")


def _is_address(uri: str) -> bool:
    try:
        return not uri or bool(URL(uri).host)
    except ValueError:
        return False
