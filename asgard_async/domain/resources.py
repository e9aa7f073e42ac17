"""The resources that a job requests."""

from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True)
class ResourceRequest:
    """Requested resources of a job; None means the configured limit.

    The executor decides which limits apply; see `Executor.limits`.
    """

    memory_mb: int | None = None
    cpus: float | None = None
