"""The service's own log: one event per line, whatever texts of others are in it."""

import logging


class EscapingFormatter(logging.Formatter):
    """Shows what could move a terminal's cursor, or look like another line, as an escape."""

    def formatMessage(self, record: logging.LogRecord) -> str:  # noqa: N802  # logging's name
        return escaped(super().formatMessage(record))

    def formatException(self, ei: "logging._SysExcInfoType") -> str:  # noqa: N802
        # indented, since a message may have lines that look like events of their own
        lines = super().formatException(ei).split("\n")
        return "\n".join(f"  {escaped(line)}" for line in lines)


def escaped(text: str) -> str:
    """`text` with everything that is not printable as in a Python literal."""
    if text.isprintable():
        return text
    return "".join(
        one if one.isprintable() else one.encode("unicode_escape").decode() for one in text
    )
