"""Renamed sections: the former name still works, with a warning that shows the current one."""

from collections.abc import Collection, Mapping
from typing import Final

RENAMED_SECTIONS: Final[Mapping[str, str]] = {"edges": "http"}
"""Former name → current name."""


def current_name(section: str) -> str:
    """Return the current name of a section, which is the same unless it was renamed."""
    return RENAMED_SECTIONS.get(section, section)


def renamed_in_file(file: str, section: str, set_twice: Collection[str]) -> str:
    """Return the warning about a former section name in a file.

    `set_twice` are the keys that the file also sets under the current name, which wins.
    """
    new = RENAMED_SECTIONS[section]
    ignored = f" ({', '.join(sorted(set_twice))} ignored: also set in [{new}])" if set_twice else ""
    return f"{file}: [{section}] is now [{new}]; rename the section{ignored}."


def renamed_variable(name: str, section: str, new_name: str, *, is_set_twice: bool) -> str:
    """Return the warning about a variable with a former section name."""
    remedy = f"ignored, since {new_name} is set too" if is_set_twice else f"use {new_name}"
    return f"{name}: [{section}] is now [{RENAMED_SECTIONS[section]}]; {remedy}."
