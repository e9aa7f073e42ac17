"""A row of the table of hints."""

from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True)
class Row:
    """One hint. All of its patterns must be found, and all of its conditions must hold."""

    text: str
    """The hint, with {names} of groups of the patterns, and of `Facts.values`.

    Empty for no hint, where a later row would give wrong advice.
    """
    exception: str = ""
    """A pattern for the line of the exception that ended the script."""
    traceback: str = ""
    """A pattern for the lines of its traceback."""
    output: str = ""
    """A pattern for the last output."""
    build: str = ""
    """A pattern for the reason why an environment could not be built."""
    when: tuple[str, ...] = ()
    """Facts that must be known; see facts.py."""
    unless: tuple[str, ...] = ()
    """Facts that must not be known."""
