"""The data directory: its layout, its permissions, and its lock for a single service."""

import fcntl
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Self

from asgard_async.config import ConfigError
from asgard_async.core.files.ownership import is_foreign, open_private


@dataclass(frozen=True, kw_only=True)
class DataDirectory:
    """The paths of all files that Asgard stores."""

    root: Path

    @property
    def database(self) -> Path:
        return self.root / "asgard.db"

    @property
    def jobs(self) -> Path:
        return self.root / "jobs"

    @property
    def archives(self) -> Path:
        return self.root / "archives"

    @property
    def environments(self) -> Path:
        return self.root / "environments"

    @property
    def cache(self) -> Path:
        return self.root / "cache"

    @property
    def mlflow(self) -> Path:
        return self.root / "mlflow"

    @property
    def mlflow_server(self) -> Path:
        """Files about the embedded server that the server itself cannot access."""
        return self.root / "mlflow-server"

    @property
    def tokens(self) -> Path:
        return self.root / "tokens.json"

    @property
    def instance(self) -> Path:
        """The id of this data directory."""
        return self.root / "instance"

    @property
    def audit_log(self) -> Path:
        return self.root / "audit.log"

    @property
    def warm(self) -> Path:
        return self.root / "warm"

    def cache_of_fork_server(self, environment: str) -> Path:
        """Return the cache directory of an environment's fork server, to which no job can write."""
        return self.warm / environment / "cache"

    @property
    def builds(self) -> Path:
        """Directories of environment builds."""
        return self.environments / "builds"

    @property
    def job_caches(self) -> Path:
        """Caches of sandboxed jobs, one per owner and environment."""
        return self.cache / "jobs"

    @property
    def uids(self) -> Path:
        return self.root / "uids"

    @property
    def probe(self) -> Path:
        return self.root / "probe"

    @property
    def mlflow_database(self) -> Path:
        """The embedded MLflow server's database."""
        return self.mlflow / "mlflow.db"

    @property
    def restoring(self) -> Path:
        """Exists while a backup is being restored, and after an interrupted restore."""
        return self.root / "restoring"

    @property
    def in_use(self) -> Path:
        """Lock file on which every running job and build holds a shared lock."""
        return self.root / "jobs.lock"

    @property
    def ports_in_use(self) -> Path:
        """Lock file on which the running embedded MLflow shares a lock, so its port is held."""
        return self.root / "ports.lock"

    @property
    def service_lock(self) -> Path:
        """Lock file held by the running service."""
        return self.root / "service.lock"

    @property
    def socket_holder(self) -> Path:
        """Unix socket of the process that keeps the listening sockets open."""
        return self.root / "sockets.sock"

    def make(self) -> Self:
        """Create missing directories, accessible to the owner only.

        Raises:
            ConfigError: a directory cannot be created.
        """
        try:
            for path in (
                self.root,
                self.jobs,
                self.archives,
                self.environments,
                self.cache,
                self.mlflow,
                self.mlflow_server,
                self.warm,
                self.uids,
                self.probe,
            ):
                if not path.is_dir():
                    path.mkdir(mode=0o700, parents=True, exist_ok=True)
            owner = self.root.stat().st_uid
        except OSError as error:
            raise ConfigError(
                f"Cannot create the data directory {self.root}: {error.strerror};"
                " choose another with --data-dir"
            ) from error
        if is_foreign(owner):
            raise ConfigError(
                f"{self.root} belongs to uid {owner}; root must not use it. Run this as that user,"
                " or change the owner (chown -R root)"
            )
        return self

    @property
    def is_traversable(self) -> bool:
        """True if other users can traverse the directory to reach their own files."""
        return bool(self.root.stat().st_mode & 0o001)

    def set_traversable(self, others: bool) -> None:
        """Set whether other users can traverse the directory, without listing it."""
        for path in (self.root, self.jobs, self.environments, self.cache, self.probe):
            if path.exists():
                path.chmod(0o711 if others else 0o700)

    def lock(self) -> int:
        """Lock the directory for this service until the returned descriptor is closed.

        Raises:
            ConfigError: another service holds the lock, or the directory is incomplete.
        """
        if self.restoring.exists():
            raise ConfigError(
                f"{self.root} is incomplete: a restore was interrupted, or is still running."
                " Delete its contents, and run `asgard restore` again"
            )
        while True:
            descriptor = open_private(self.service_lock, os.O_RDWR | os.O_CREAT)
            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                os.close(descriptor)
                raise ConfigError(
                    f"Another Asgard service uses {self.root}; stop it first, or choose another"
                    " directory with --data-dir"
                ) from None
            if _is_file(descriptor, self.service_lock):
                return descriptor
            os.close(descriptor)  # a service whose start failed has just removed it


def _is_file(descriptor: int, path: Path) -> bool:
    try:
        return os.path.samestat(os.fstat(descriptor), path.stat())
    except FileNotFoundError:
        return False
