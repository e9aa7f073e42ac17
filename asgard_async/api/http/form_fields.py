"""Conversion of form fields, which are always text, to the values of the same fields in JSON."""

import json
import re
from collections.abc import Callable
from typing import Any

import msgspec
from marshmallow import fields

from asgard_async.api.http.json_body import MAX_COMPOUND_BYTES, TOO_LARGE, UNKNOWN_FIELD
from asgard_async.api.schemas.fields import Flag, Number, ScalarMap, TextMap, WholeNumber
from asgard_async.api.schemas.submission import UploadFormSchema
from asgard_async.domain.errors import InvalidSubmission
from asgard_async.jobs.submit.requirements import read_requirements_file

NOT_UTF8 = "Must be valid UTF-8."
REPEATED = "Must be given only once."

REQUIREMENTS = "requirements"
REPEATABLE = {REQUIREMENTS, "args"}
"""Lists, with one part for each entry."""
FILES = {"script", "archive"}
FIELDS = {name: field for name, field in UploadFormSchema().fields.items() if name not in FILES}

_object = msgspec.json.Decoder(dict[str, bool | int | float | str | None])


def is_field(name: str) -> bool:
    """Return whether `name` is a form field other than a file."""
    return name in FIELDS


def add_field(
    document: dict[str, Any],
    add_error: Callable[[str, str], None],
    name: str,
    content: bytes,
    *,
    is_file: bool,
    direct_references: bool,
) -> None:
    """Add a field to `document`, or report the reason why it cannot be added to `add_error`.

    The schema validates the value later.
    """
    if not is_field(name):
        add_error(name, UNKNOWN_FIELD)
        return
    if name in document and name not in REPEATABLE:
        add_error(name, REPEATED)
        return
    try:
        if name == REQUIREMENTS and is_file:
            if len(content) > MAX_COMPOUND_BYTES:
                raise InvalidSubmission({name: [f"{TOO_LARGE}."]})
            document.setdefault(name, []).extend(
                read_requirements_file(content, direct_references=direct_references)
            )
            return
        text = content.decode("utf-8-sig" if is_file else "utf-8")
        if name in REPEATABLE:
            document.setdefault(name, []).append(text)
        else:
            document[name] = _value(name, text)
    except UnicodeDecodeError:
        add_error(name, NOT_UTF8)
    except (msgspec.DecodeError, RecursionError):
        add_error(name, _not_an_object(FIELDS[name]))
    except InvalidSubmission as error:
        for message in error.errors[name]:
            add_error(name, message)


def _value(name: str, text: str) -> Any:
    # malformed numbers and flags stay text, which the schema rejects with its own message
    field = FIELDS[name]
    if isinstance(field, WholeNumber) and re.fullmatch(r"-?[0-9]{1,18}", text):
        return int(text)
    if isinstance(field, Number) and re.fullmatch(r"-?[0-9]{1,18}(\.[0-9]{1,18})?", text):
        return float(text)
    if isinstance(field, Flag) and text in {"true", "false"}:
        return text == "true"
    if isinstance(field, TextMap | fields.Nested):
        if len(text) > MAX_COMPOUND_BYTES:
            raise InvalidSubmission({name: [f"{TOO_LARGE}."]})
        return _object.decode(text)
    return text


def _not_an_object(field: fields.Field[Any]) -> str:
    if isinstance(field, fields.Nested):
        return f"Must be a JSON object such as {json.dumps(field.schema.Meta.example)}."  # type: ignore[attr-defined]  # ours
    if isinstance(field, ScalarMap):
        return "Must be a JSON object of text, numbers, true or false."
    return "Must be a JSON object whose values are text."
