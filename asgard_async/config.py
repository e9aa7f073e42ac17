"""Configuration: config.toml, a file of the user's, then `ASGARD_SECTION__KEY`, checked once.

The packaged `config.toml` holds every default, so what is documented is what applies.
"""

import dataclasses
import ipaddress
import os
import re
import tomllib
from collections.abc import Mapping
from functools import partial
from importlib import resources
from pathlib import Path
from typing import Annotated, Any, Literal, NoReturn

import msgspec
from msgspec import Meta
from yarl import URL

from asgard_async.redaction import without_secrets

Port = Annotated[int, Meta(ge=0, le=65535)]
# Beyond any sense, but what SQLite, timers and system calls can hold; keeps out infinity as well.
LARGEST = 1_000_000_000
Count = Annotated[int, Meta(ge=0, le=LARGEST)]
Positive = Annotated[int, Meta(ge=1, le=LARGEST)]
Seconds = Annotated[float, Meta(ge=0, le=LARGEST)]
PositiveSeconds = Annotated[float, Meta(gt=0, le=LARGEST)]
Bytes = Annotated[int, Meta(ge=65536, le=1000 * LARGEST)]
AbsolutePath = Annotated[str, Meta(pattern=r"^/[^\x00]*\Z")]
AnyBytes = Annotated[int, Meta(ge=1, le=1000 * LARGEST)]

ENV_PREFIX = "ASGARD_"
DATA_DIR_VARIABLE = "ASGARD_DATA_DIR"
SECRET_KEYS = frozenset({"password", "token", "index_url", "extra_index_urls"})
"""Keys whose values may hold credentials, and so are not shown."""
ADDRESS_KEYS = frozenset({"tracking_uri", "public_url"})
SHOWN_IN_PART = ADDRESS_KEYS | {"artifacts_destination"}
"""Keys whose user name, password and query are not shown."""


class ConfigError(Exception):
    """The configuration cannot be used; the text names source, key and what is allowed."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class ServerConfig:
    host: Annotated[str, Meta(min_length=1)]
    port: Port
    data_dir: Annotated[str, Meta(min_length=1)]
    max_body_bytes: Annotated[int, Meta(ge=4096, le=LARGEST)]
    min_free_mb: Count
    allowed_hosts: list[Annotated[str, Meta(pattern=r"^[A-Za-z0-9._-]+\Z")]]
    trusted_proxies: list[Annotated[str, Meta(pattern=r"^[0-9A-Fa-f.:]+(/[0-9]+)?\Z")]]

    @property
    def proxies(self) -> tuple[ipaddress.IPv4Network | ipaddress.IPv6Network, ...]:
        """The addresses from which `X-Forwarded-*` are believed."""
        return tuple(map(ipaddress.ip_network, self.trusted_proxies))

    @property
    def is_loopback(self) -> bool:
        """Whether only this machine reaches the service."""
        try:
            return ipaddress.ip_address(self.host).is_loopback
        except ValueError:
            return self.host == "localhost"

    @property
    def own_names(self) -> frozenset[str]:
        """The names that the service goes by, in lower case; addresses it always does."""
        return frozenset(name.lower() for name in (*self.allowed_hosts, self.host))


@dataclasses.dataclass(frozen=True, kw_only=True)
class EdgesConfig:
    max_connections: Positive
    max_connections_per_address: Positive
    idle_seconds: PositiveSeconds
    header_seconds: PositiveSeconds
    body_seconds: PositiveSeconds
    upload_seconds: PositiveSeconds
    min_body_rate: Positive
    max_bodies_bytes: Annotated[int, Meta(ge=4096, le=LARGEST)]
    stalled_client_seconds: PositiveSeconds


@dataclasses.dataclass(frozen=True, kw_only=True)
class JobsConfig:
    max_concurrent_jobs: Count
    max_queued_jobs: Positive
    max_script_bytes: Positive
    max_archive_bytes: AnyBytes
    max_archive_members: Positive
    max_unpacked_bytes: AnyBytes
    timeout_default: Positive
    timeout_min: Positive
    timeout_max: Positive
    queue_timeout: Seconds
    stop_grace_seconds: Seconds
    requeue_lost: bool
    script_check_seconds: PositiveSeconds
    archive_check_seconds: PositiveSeconds
    max_waiting_checks: Positive

    @property
    def slots(self) -> int:
        """How many jobs may run at once, with 0 resolved to the usable CPU cores."""
        return self.max_concurrent_jobs or len(os.sched_getaffinity(0))


@dataclasses.dataclass(frozen=True, kw_only=True)
class EnvironmentsConfig:
    build_timeout: PositiveSeconds
    max_concurrent_builds: Positive
    max_cache_mb: Count
    index_url: str
    extra_index_urls: list[str]
    allow_direct_references: bool
    prebuild: list[list[str]]


@dataclasses.dataclass(frozen=True, kw_only=True)
class WarmConfig:
    enabled: bool
    preload: list[Annotated[str, Meta(pattern=r"^[A-Za-z_]\w*(\.[A-Za-z_]\w*)*\Z")]]
    max_servers: Positive
    max_memory_mb: Positive
    idle_seconds: Seconds


@dataclasses.dataclass(frozen=True, kw_only=True)
class RetentionConfig:
    directories_days: Seconds
    logs_days: Seconds
    archives_days: Seconds
    jobs_days: Seconds
    environments_days: Seconds
    caches_days: Seconds
    max_caches_mb: Count
    max_files_mb: Count
    check_hours: PositiveSeconds


@dataclasses.dataclass(frozen=True, kw_only=True)
class IsolationConfig:
    level: Literal["auto", "sandbox", "sandbox-lite", "user", "process"]
    read_only: list[AbsolutePath]
    read_write: list[AbsolutePath]
    network: Literal["host"]
    first_uid: Annotated[int, Meta(ge=1000, le=4_000_000_000)]
    uids: Positive
    tmp_mb: Positive
    shm_mb: Positive


@dataclasses.dataclass(frozen=True, kw_only=True)
class LimitsConfig:
    memory_mb: Count
    total_memory_mb: Count
    cpus: Annotated[float, Meta(ge=0, le=LARGEST)]
    processes: Count
    open_files: Annotated[int, Meta(ge=64, le=LARGEST)]
    job_dir_mb: Count
    file_mb: Count
    cgroups: Literal["auto", "off"]


@dataclasses.dataclass(frozen=True, kw_only=True)
class LogsConfig:
    max_bytes_per_job: Bytes
    stalled_reader_seconds: PositiveSeconds


@dataclasses.dataclass(frozen=True, kw_only=True)
class MlflowConfig:
    tracking_uri: Annotated[str, Meta(pattern=r"^(https?://[^\s]+)?\Z")] = dataclasses.field(
        repr=False
    )
    username: str
    password: str = dataclasses.field(repr=False)
    token: Annotated[str, Meta(pattern=r"^[!-~]*\Z")] = dataclasses.field(repr=False)
    public_url: Annotated[str, Meta(pattern=r"^(https?://[^\s]+)?\Z")]
    port: Port
    artifacts_destination: str = dataclasses.field(repr=False)

    @property
    def embedded(self) -> bool:
        """Whether Asgard runs the MLflow server itself."""
        return not self.tracking_uri


@dataclasses.dataclass(frozen=True, kw_only=True)
class TrackingConfig:
    settle_seconds: Seconds
    refresh_seconds: PositiveSeconds
    request_timeout_seconds: PositiveSeconds


@dataclasses.dataclass(frozen=True, kw_only=True)
class LoggingConfig:
    level: Literal["debug", "info", "warning", "error"]
    format: Literal["text", "json"]
    slow_loop_seconds: PositiveSeconds


@dataclasses.dataclass(frozen=True, kw_only=True)
class Config:
    """Everything that can be configured. `sources` tells where each non-default value came from."""

    server: ServerConfig
    edges: EdgesConfig
    jobs: JobsConfig
    environments: EnvironmentsConfig
    warm: WarmConfig
    retention: RetentionConfig
    isolation: IsolationConfig
    limits: LimitsConfig
    logs: LogsConfig
    mlflow: MlflowConfig
    tracking: TrackingConfig
    logging: LoggingConfig
    sources: Mapping[str, str] = dataclasses.field(default_factory=dict)

    @property
    def data_dir(self) -> Path:
        """The data directory, absolute, `~` expanded."""
        return Path(self.server.data_dir).expanduser().absolute()


SECTIONS: dict[str, type[Any]] = {
    field.name: field.type  # type: ignore[misc]  # annotations are real types here
    for field in dataclasses.fields(Config)
    if dataclasses.is_dataclass(field.type)
}


def load_config(
    file: Path | None = None,
    *,
    environ: Mapping[str, str] | None = None,
    overrides: Mapping[str, Mapping[str, Any]] | None = None,
) -> Config:
    """Read defaults, `file`, `environ` (default: the process's) and `overrides`, in that order.

    Raises:
        ConfigError: a file cannot be read, or a key or value is wrong.
    """
    values = _read_defaults()
    sources: dict[str, str] = {}
    layers = [_read_environment(os.environ if environ is None else environ)]
    if file is not None:
        layers.insert(0, _read_file(file))
    if overrides:
        layers.append(
            [("command line", s, k, v) for s, keys in overrides.items() for k, v in keys.items()]
        )
    for layer in layers:
        for source, section, key, value in layer:
            _check_name(source, section, key)
            values[section][key] = value
            sources[f"{section}.{key}"] = source
    config = Config(
        sources=sources,
        **{
            name: _convert_section(name, kind, values[name], sources)
            for name, kind in SECTIONS.items()
        },
    )
    _check_together(config)
    return config


TYPE_NAMES = {"int": "a whole number", "float": "a number", "str": "text", "bool": "true or false"}


def _read_defaults() -> dict[str, dict[str, Any]]:
    return tomllib.loads((resources.files("asgard_async") / "config.toml").read_text("utf-8"))


Setting = tuple[str, str, str, Any]
"""Source, section, key, value."""


def _read_file(file: Path) -> list[Setting]:
    try:
        document = tomllib.loads(file.read_text("utf-8"))
    except OSError as error:
        raise ConfigError(f"{file}: cannot be read: {error.strerror}") from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise ConfigError(f"{file}: is not valid TOML: {error}") from error
    settings: list[Setting] = []
    for section, keys in document.items():
        if not isinstance(keys, dict):
            raise ConfigError(
                f"{file}: key {section!r} stands outside a section; allowed sections: "
                + ", ".join(f"[{name}]" for name in SECTIONS)
            )
        _check_name(str(file), section, None)
        settings.extend((str(file), section, key, value) for key, value in keys.items())
    return settings


def _read_environment(environ: Mapping[str, str]) -> list[Setting]:
    settings: list[Setting] = []
    if environ.get(DATA_DIR_VARIABLE):
        settings.append((DATA_DIR_VARIABLE, "server", "data_dir", environ[DATA_DIR_VARIABLE]))
    for name, text in sorted(environ.items()):
        section, separator, key = name.removeprefix(ENV_PREFIX).partition("__")
        if not name.startswith(ENV_PREFIX) or not separator:
            continue
        section, key = section.lower(), key.lower()
        _check_name(name, section, key)
        settings.append((name, section, key, _parse_variable(section, key, text)))
    return settings


def _parse_variable(section: str, key: str, text: str) -> Any:
    if _kind_of(section, key) is str:
        return text
    try:
        word = text.strip()
        # as people write it in a shell
        word = word.lower() if word.lower() in {"true", "false"} else word
        return tomllib.loads(f"value = {word}")["value"]
    except tomllib.TOMLDecodeError:
        return text


def _field_types(section: str) -> dict[str, Any]:
    return {field.name: field.type for field in dataclasses.fields(SECTIONS[section])}


def _kind_of(section: str, key: str) -> Any:
    annotation = _field_types(section)[key]
    annotation = getattr(annotation, "__origin__", annotation)
    return str if annotation is Literal else annotation


def _check_name(source: str, section: str, key: str | None) -> None:
    if section not in SECTIONS:
        raise ConfigError(
            f"{source}: unknown section [{section}]; allowed: "
            + ", ".join(f"[{name}]" for name in SECTIONS)
        )
    if key is not None and key not in _field_types(section):
        raise ConfigError(
            f"{source}: unknown key {key!r} in [{section}]; allowed: "
            + ", ".join(_field_types(section))
        )


def _convert_section(
    name: str, kind: type[Any], values: dict[str, Any], sources: Mapping[str, str]
) -> Any:
    converted = {}
    for key, annotation in _field_types(name).items():
        source = sources.get(f"{name}.{key}", "config.toml")
        try:
            converted[key] = msgspec.convert(values[key], annotation)
        except msgspec.ValidationError as error:
            raise ConfigError(
                f"{source}: [{name}] {key}: {_allowed(error, annotation)}{_given(key, values[key])}"
            ) from error
    return kind(**converted)


def shown(key: str, value: Any) -> str:
    """A value as it may be printed: no secret, nor an address's user name, password and query."""
    if key in SECRET_KEYS and value:
        return "(set)"
    if key in SHOWN_IN_PART and isinstance(value, str):
        value = re.sub(r"\?.*", "?…", re.sub(r"//.*@", "//…@", value, flags=re.DOTALL))
    return without_secrets(repr(value))


def _allowed(error: msgspec.ValidationError, annotation: Any) -> str:
    message = str(error)
    if "invalid enum value" in message.lower():
        return "expected one of " + ", ".join(map(repr, annotation.__args__))
    if "matching regex" in message and "0-9A-Fa-f.:" in message:
        return "expected addresses or networks, such as 10.0.0.5 or 10.0.0.0/8"
    if "matching regex" in message and "!-~" in message:
        return "expected a token of ASCII characters, without spaces and line breaks"
    if "matching regex" in message and annotation == list[AbsolutePath]:
        return "expected absolute paths"
    if "matching regex" in message:
        return "expected an http:// or https:// address, or nothing"
    for name, words in TYPE_NAMES.items():
        message = message.replace(f"`{name}`", words)
    return message[0].lower() + message[1:]


def _given(key: str, value: Any) -> str:
    return "" if key in SECRET_KEYS else f" (given: {shown(key, value)})"


def _check_together(config: Config) -> None:
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
    if config.edges.max_bodies_bytes < config.server.max_body_bytes:
        fail("edges.max_bodies_bytes", "must not be less than [server] max_body_bytes")
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
