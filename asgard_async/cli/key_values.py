"""Options of the form K=V."""

import json
import math
import os

import click

from asgard_async.cli.sanitiser import one_line


def pairs(
    option: str, texts: tuple[str, ...], defaults: "os._Environ[str] | dict[str, str]"
) -> dict[str, str]:
    """Return the values of an option that is repeated with K=V, or with K for one of `defaults`.

    Raises:
        click.BadParameter: there is no value.
    """
    found = {}
    for text in texts:
        key, equals, value = text.partition("=")
        if not equals and key not in defaults:
            raise click.BadParameter(_not_a_pair(key, defaults), param_hint=f"'{option}'")
        found[key] = value if equals else defaults[key]
    return found


def scalar(text: str) -> bool | int | float | str:
    """Return a number, true or false as such, and anything else as text."""
    try:
        value = json.loads(text)
    except ValueError:
        return text
    is_finite = not isinstance(value, float) or math.isfinite(value)
    return value if isinstance(value, bool | int | float) and is_finite else text


def _not_a_pair(key: str, defaults: "os._Environ[str] | dict[str, str]") -> str:
    if defaults is os.environ:
        return f"the variable {one_line(key)} is not set here; pass a value as {one_line(key)}=…"
    return f"{one_line(key)} has no value; write {one_line(key)}=…"
