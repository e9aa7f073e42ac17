"""The sections of the configuration: a frozen record for each, with the bounds of its keys."""

import dataclasses
import ipaddress
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Literal

from msgspec import Meta

from asgard_async.core.archives.names import ArchiveLimits

Port = Annotated[int, Meta(ge=0, le=65535)]
# Far above any useful value, but safe for SQLite, timers and system calls; excludes infinity.
LARGEST = 1_000_000_000
Count = Annotated[int, Meta(ge=0, le=LARGEST)]
Positive = Annotated[int, Meta(ge=1, le=LARGEST)]
Seconds = Annotated[float, Meta(ge=0, le=LARGEST)]
PositiveSeconds = Annotated[float, Meta(gt=0, le=LARGEST)]
Bytes = Annotated[int, Meta(ge=65536, le=1000 * LARGEST)]
AbsolutePath = Annotated[str, Meta(pattern=r"^/[^\x00]*\Z")]
AnyBytes = Annotated[int, Meta(ge=1, le=1000 * LARGEST)]


class ConfigError(Exception):
    """The configuration is invalid; the message names the source, key and allowed values."""


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
        """Networks of the proxies whose `X-Forwarded-*` headers are trusted."""
        return tuple(map(ipaddress.ip_network, self.trusted_proxies))

    @property
    def is_loopback(self) -> bool:
        """True if only this machine can reach the service."""
        try:
            return ipaddress.ip_address(self.host).is_loopback
        except ValueError:
            return self.host == "localhost"

    @property
    def own_names(self) -> frozenset[str]:
        """Accepted Host names in lower case. IP addresses are always accepted."""
        return frozenset(name.lower() for name in (*self.allowed_hosts, self.host))


@dataclasses.dataclass(frozen=True, kw_only=True)
class HttpConfig:
    max_connections: Positive
    max_connections_per_address: Positive
    max_requests_per_client: Positive
    max_streams_per_client: Positive
    idle_seconds: PositiveSeconds
    header_seconds: PositiveSeconds
    body_seconds: PositiveSeconds
    upload_seconds: PositiveSeconds
    min_body_rate: Positive
    max_bodies_bytes: Annotated[int, Meta(ge=4096, le=LARGEST)]
    stalled_client_seconds: PositiveSeconds


@dataclasses.dataclass(frozen=True, kw_only=True)
class AccessConfig:
    others_read: bool


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
    def archive_limits(self) -> ArchiveLimits:
        """The limits of an uploaded archive."""
        return ArchiveLimits(
            max_members=self.max_archive_members, max_unpacked_bytes=self.max_unpacked_bytes
        )

    @property
    def slots(self) -> int:
        """The number of jobs that may run at the same time, by default one per usable CPU core."""
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
    memory_mb: Annotated[int, Meta(ge=0, le=LARGEST)]
    max_body_bytes: Annotated[int, Meta(ge=65536, le=LARGEST)]
    guard: Literal["auto", "on", "off"]

    @property
    def embedded(self) -> bool:
        """True if Asgard runs the MLflow server itself."""
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
    """The whole configuration.

    `sources` maps each key that was set to the file or variable that sets it. `warnings` describe
    settings that still work but should be changed.
    """

    server: ServerConfig
    http: HttpConfig
    access: AccessConfig
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
    warnings: tuple[str, ...] = ()

    @property
    def data_dir(self) -> Path:
        """The absolute path of the data directory, with `~` expanded."""
        return Path(self.server.data_dir).expanduser().absolute()


SECTIONS: dict[str, type[Any]] = {
    field.name: field.type  # type: ignore[misc]  # annotations are real types here
    for field in dataclasses.fields(Config)
    if dataclasses.is_dataclass(field.type)
}


def field_types(section: str) -> dict[str, Any]:
    """Return the keys of a section with their types."""
    return {field.name: field.type for field in dataclasses.fields(SECTIONS[section])}
