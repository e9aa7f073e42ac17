"""What marshmallow's fields let through, in JSON Schema, where apispec does not see it itself."""

from collections.abc import Iterable, Mapping
from typing import Any

from apispec.ext.marshmallow.openapi import OpenAPIConverter
from marshmallow import fields

from asgard_async.api.schemas.fields import TextMap, json_schema_of

Keywords = dict[str, Any]

JSON_SCHEMA_ONLY = {"contentEncoding"}
"""Keywords that OpenAPI has since 3.1, and apispec does not take from a field's metadata."""


def teach(converter: Any) -> None:
    """Let apispec's converter ask these functions too, of every field and after its own."""
    for function in (checks_of, text_map, newer_keywords, enum_of_text, no_null_default):
        converter.add_attribute_function(function)


def checks_of(_: OpenAPIConverter, field: fields.Field[Any], ret: Keywords) -> Keywords:
    """Checks that are documented."""
    return _together(field.validators, ret)


def text_map(_: OpenAPIConverter, field: fields.Field[Any], ret: Keywords) -> Keywords:
    """The rules of an object's names and texts."""
    if not isinstance(field, TextMap):
        return {}
    names = _together(field.check_name, {})
    return {
        "maxProperties": field.max_entries,
        **({"propertyNames": names} if names else {}),
        "additionalProperties": {
            **ret["additionalProperties"],
            **_together(field.check_text, {}),
        },
    }


def newer_keywords(_: OpenAPIConverter, field: fields.Field[Any], ret: Keywords) -> Keywords:
    """Keywords that stand in a field's metadata."""
    return {name: field.metadata[name] for name in JSON_SCHEMA_ONLY & field.metadata.keys()}


def enum_of_text(_: OpenAPIConverter, field: fields.Field[Any], ret: Keywords) -> Keywords:
    """apispec lists the values of an enum and does not say their type."""
    if not (isinstance(field, fields.Enum) and issubclass(field.enum, str)):
        return {}
    return {"type": ["string", "null"] if field.allow_none else "string"}


def no_null_default(_: OpenAPIConverter, field: fields.Field[Any], ret: Keywords) -> Keywords:
    """A default of None stands for an absent field, where null is no value of it."""
    if not field.allow_none and ret.get("default", ...) is None:
        del ret["default"]
    return {}


def _together(checks: Iterable[object], known: Mapping[str, Any]) -> Keywords:
    """The keywords of several checks; each has its own pattern."""
    keywords: Keywords = {}
    patterns = [known["pattern"]] if "pattern" in known else []
    for check in checks:
        said = dict(json_schema_of(check))
        if "pattern" in said:
            patterns.append(said.pop("pattern"))
        keywords.update(said)
    if len(patterns) > 1:
        keywords["allOf"] = [{"pattern": pattern} for pattern in patterns[1:]]
    if patterns:
        keywords["pattern"] = patterns[0]
    return keywords
