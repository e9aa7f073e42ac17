"""The data directory: private, laid out, and of one service at a time."""

import fcntl
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Self

from asgard_async.config import ConfigError
from asgard_async.core.files.ownership import give_to_owner_of, open_private


@dataclass(frozen=True, kw_only=True)
class DataDirectory:
    """Where everything lies that Asgard keeps."""

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
        """What the embedded server itself does not reach."""
        return self.root / "mlflow-server"

    @property
    def tokens(self) -> Path:
        return self.root / "tokens.json"

    @property
    def audit_log(self) -> Path:
        return self.root / "audit.log"

    @property
    def warm(self) -> Path:
        return self.root / "warm"

    @property
    def builds(self) -> Path:
        """Where environments are built."""
        return self.environments / "builds"

    @property
    def job_caches(self) -> Path:
        """What walled jobs keep in their caches."""
        return self.cache / "jobs"

    @property
    def uids(self) -> Path:
        return self.root / "uids"

    @property
    def probe(self) -> Path:
        return self.root / "probe"

    @property
    def mlflow_database(self) -> Path:
        """The embedded server's store."""
        return self.mlflow / "mlflow.db"

    @property
    def in_use(self) -> Path:
        """Every running job holds a shared lock of this file."""
        return self.root / "jobs.lock"

    @property
    def service_lock(self) -> Path:
        """The running service holds the lock of this file."""
        return self.root / "service.lock"

    def make(self) -> Self:
        """Make what is missing, readable for the owner alone.

        Raises:
            ConfigError: it cannot be made.
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
                    if path != self.root:
                        give_to_owner_of(self.root, path)
        except OSError as error:
            raise ConfigError(
                f"the data directory {self.root} cannot be made: {error.strerror};"
                " choose another with --data-dir"
            ) from error
        return self

    @property
    def is_let_through(self) -> bool:
        """Whether other users reach what is theirs in here."""
        return bool(self.root.stat().st_mode & 0o001)

    def let_through(self, others: bool) -> None:
        """Whether other users are to reach what is theirs in here, seeing nothing else."""
        for path in (self.root, self.jobs, self.environments, self.cache, self.probe):
            if path.exists():
                path.chmod(0o711 if others else 0o700)

    def lock(self) -> int:
        """Take the directory for this service; a descriptor to be kept open.

        Raises:
            ConfigError: another service has it.
        """
        descriptor = open_private(self.service_lock, os.O_RDWR | os.O_CREAT)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            os.close(descriptor)
            raise ConfigError(
                f"another asgard service uses {self.root}; stop it first, or choose another"
                " directory with --data-dir"
            ) from None
        return descriptor
