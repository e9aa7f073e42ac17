"""JSON Schema keywords for constraints of marshmallow fields that apispec does not know."""

from collections.abc import Iterable, Mapping
from typing import Any

from apispec.ext.marshmallow.openapi import OpenAPIConverter
from marshmallow import fields

from asgard_async.api.schemas.fields import TextMap, json_schema_of

Keywords = dict[str, Any]

JSON_SCHEMA_ONLY = {"contentEncoding"}
"""Keywords new in OpenAPI 3.1, which apispec does not copy from a field's metadata."""


def teach(converter: Any) -> None:
    """Add the functions of this module to apispec's converter, after its own."""
    for function in (checks_of, text_map, newer_keywords, enum_of_text, no_null_default):
        converter.add_attribute_function(function)


def checks_of(_: OpenAPIConverter, field: fields.Field[Any], ret: Keywords) -> Keywords:
    """Return the keywords of documented checks."""
    return _together(field.validators, ret)


def text_map(_: OpenAPIConverter, field: fields.Field[Any], ret: Keywords) -> Keywords:
    """Return the constraints on the names and values of a text map."""
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
    """Return the newer keywords in a field's metadata."""
    return {name: field.metadata[name] for name in JSON_SCHEMA_ONLY & field.metadata.keys()}


def enum_of_text(_: OpenAPIConverter, field: fields.Field[Any], ret: Keywords) -> Keywords:
    """Return the type of an enum, for which apispec only lists the values."""
    if not (isinstance(field, fields.Enum) and issubclass(field.enum, str)):
        return {}
    return {"type": ["string", "null"] if field.allow_none else "string"}


def no_null_default(_: OpenAPIConverter, field: fields.Field[Any], ret: Keywords) -> Keywords:
    """Remove a default of None, which marks an absent field, if null is not allowed."""
    if not field.allow_none and ret.get("default", ...) is None:
        del ret["default"]
    return {}


def _together(checks: Iterable[object], known: Mapping[str, Any]) -> Keywords:
    """Merge the keywords of several checks, each of which may have a pattern."""
    keywords: Keywords = {}
    patterns = [known["pattern"]] if "pattern" in known else []
    for check in checks:
        check_keywords = dict(json_schema_of(check))
        if "pattern" in check_keywords:
            patterns.append(check_keywords.pop("pattern"))
        keywords.update(check_keywords)
    if len(patterns) > 1:
        keywords["allOf"] = [{"pattern": pattern} for pattern in patterns[1:]]
    if patterns:
        keywords["pattern"] = patterns[0]
    return keywords
