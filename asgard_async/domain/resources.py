"""The resources that a job asks for. Standard library alone."""

from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True)
class ResourceRequest:
    """The share of a machine that a job asks for; None where it leaves that to the configuration.

    The limits that apply in the end are the executor's decision; see `Executor.limits`.
    """

    memory_mb: int | None = None
    cpus: float | None = None
