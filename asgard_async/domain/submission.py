"""A submission as it arrives at the door: checked for form, not yet for content."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field


@dataclass(frozen=True, kw_only=True)
class UploadedArchive:
    """An archive that was received, under its name in the archive store."""

    name: str
    sha256: str


@dataclass(frozen=True, kw_only=True)
class Submission:
    """The fields of an upload, defaults filled in, the script decoded from base64."""

    script_name: str
    """Of an archive, the name of its file."""
    script: bytes = b""
    archive: UploadedArchive | None = None
    """In place of a script; `entrypoint` says which of its files is run."""
    entrypoint: str | None = None
    experiment_name: str
    model_name: str
    requirements: Sequence[str] = ()
    environment_vars: Mapping[str, str] = field(default_factory=dict)
    timeout: int | None = None
    """Seconds; None takes the configured default."""
    tags: Mapping[str, str] = field(default_factory=dict)
    priority: int = 0
    warm: bool = True
    memory_mb: int | None = None
    """At most what is configured, as the next; None takes that."""
    cpus: float | None = None
    idempotency_key: str | None = None
    owner: str = ""
    """Name of the token that submitted it; empty while the API is open."""
