"""Points in time: aware, in UTC, and their text form (RFC 3339)."""

from datetime import UTC, datetime


def now() -> datetime:
    """The current time in UTC."""
    return datetime.now(UTC)


def rfc3339(moment: datetime, timespec: str = "microseconds") -> str:
    """Format an aware time in UTC with a `Z`.

    The text has a fixed width for each `timespec` (that of `datetime.isoformat`), so it sorts
    like the times themselves.
    """
    return moment.astimezone(UTC).isoformat(timespec=timespec).removesuffix("+00:00") + "Z"


def rfc3339_of_ms(milliseconds: int) -> str:
    """Format milliseconds since 1970 like `rfc3339`, to the millisecond."""
    return rfc3339(datetime.fromtimestamp(milliseconds / 1000, UTC), "milliseconds")
