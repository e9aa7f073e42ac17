"""The process's limit on open files, which also limits its connections."""

import resource

OWN_FILES = 256
"""Open files other than connections: the database, followed logs, pidfds of jobs."""

_soft_limit_at_start, _ = resource.getrlimit(resource.RLIMIT_NOFILE)


def soft_limit_of_jobs() -> int:
    """Return the service's original soft limit, which is restored for jobs; 0 for no limit."""
    return 0 if _soft_limit_at_start == resource.RLIM_INFINITY else _soft_limit_at_start


def raise_limit_for(connections: int) -> int:
    """Raise the soft limit to fit the connections, as far as the hard limit allows.

    Returns:
        The number of connections that fit, at least 16.
    """
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    required = connections + OWN_FILES
    target = required if hard == resource.RLIM_INFINITY else min(required, hard)
    if soft != resource.RLIM_INFINITY and soft < target:
        resource.setrlimit(resource.RLIMIT_NOFILE, (target, hard))
        soft = target
    available = connections if soft == resource.RLIM_INFINITY else soft - OWN_FILES
    return max(16, min(connections, available))
