"""How many files, and so connections, the process may have open."""

import resource

OWN = 256
"""For everything that is no connection: the database, logs that are followed, jobs' pidfds."""

_at_start, _ = resource.getrlimit(resource.RLIMIT_NOFILE)


def soft_limit_of_jobs() -> int:
    """The limit that the service was started with, which its jobs get back; 0 for none."""
    return 0 if _at_start == resource.RLIM_INFINITY else _at_start


def make_room_for(connections: int) -> int:
    """Raise the soft limit as far as so many connections need it, and the hard limit lets it.

    Returns:
        How many connections there is room for, at least 16.
    """
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = connections + OWN
    most = wanted if hard == resource.RLIM_INFINITY else min(wanted, hard)
    if soft != resource.RLIM_INFINITY and soft < most:
        resource.setrlimit(resource.RLIMIT_NOFILE, (most, hard))
        soft = most
    room = connections if soft == resource.RLIM_INFINITY else soft - OWN
    return max(16, min(connections, room))
