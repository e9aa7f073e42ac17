"""Conversion of raw values to the record of a section, with readable errors."""

from collections.abc import Mapping
from typing import Any

import msgspec

from asgard_async.config.redacted import SECRET_KEYS, redacted
from asgard_async.config.sections import SECTIONS, AbsolutePath, field_types

TYPE_NAMES = {"int": "an integer", "float": "a number", "str": "text", "bool": "true or false"}


def convert_section(
    name: str, values: Mapping[str, Any], sources: Mapping[str, str], errors: list[str]
) -> Any:
    """Build the record of a section, or return None and add to `errors` what is not allowed.

    Errors name the source of the value from `sources`.
    """
    converted = {}
    for key, annotation in field_types(name).items():
        source = sources.get(f"{name}.{key}", "config.toml")
        try:
            converted[key] = msgspec.convert(values[key], annotation)
        except msgspec.ValidationError as error:
            errors.append(
                f"{source}: [{name}] {key}: {_allowed(error, annotation)}{_got(key, values[key])}"
            )
    is_complete = len(converted) == len(field_types(name))
    return SECTIONS[name](**converted) if is_complete else None


def _allowed(error: msgspec.ValidationError, annotation: Any) -> str:
    message = str(error)
    if "invalid enum value" in message.lower():
        return "expected one of " + ", ".join(map(repr, annotation.__args__))
    if "matching regex" in message and "0-9A-Fa-f.:" in message:
        return "expected addresses or networks, e.g. 10.0.0.5 or 10.0.0.0/8"
    if "matching regex" in message and "!-~" in message:
        return "expected ASCII characters without spaces or line breaks"
    if "matching regex" in message and annotation == list[AbsolutePath]:
        return "expected absolute paths"
    if "matching regex" in message:
        return "expected an http:// or https:// URL, or an empty string"
    for name, words in TYPE_NAMES.items():
        message = message.replace(f"`{name}`", words)
    return message[0].lower() + message[1:]


def _got(key: str, value: Any) -> str:
    return "" if key in SECRET_KEYS else f" (got: {redacted(key, value)})"
