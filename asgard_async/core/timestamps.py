"""Timezone-aware times in UTC, and their text form (RFC 3339)."""

from datetime import UTC, datetime


def now() -> datetime:
    """Return the current time in UTC."""
    return datetime.now(UTC)


def rfc3339(moment: datetime, timespec: str = "microseconds") -> str:
    """Format a timezone-aware time in UTC, with the suffix `Z`.

    `timespec` is that of `datetime.isoformat`. For a given `timespec`, the text has a fixed width,
    so texts sort in the order of their times.
    """
    return moment.astimezone(UTC).isoformat(timespec=timespec).removesuffix("+00:00") + "Z"


def rfc3339_of_ms(milliseconds: int) -> str:
    """Format milliseconds since 1970 like `rfc3339`, with millisecond precision."""
    return rfc3339(datetime.fromtimestamp(milliseconds / 1000, UTC), "milliseconds")
