"""Fields of a form, which are all text, made what JSON would have said."""

import json
import re
from collections.abc import Callable
from typing import Any

import msgspec
from marshmallow import fields

from asgard_async.api.http.json_body import MAX_COMPOUND_BYTES, TOO_LARGE
from asgard_async.api.schemas.fields import Flag, Number, TextMap, WholeNumber
from asgard_async.api.schemas.submission import UploadFormSchema
from asgard_async.domain.errors import InvalidSubmission
from asgard_async.jobs.submit.requirements import read_requirements_file

NOT_UTF8 = "Is not valid UTF-8."
REPEATED = "Is given more than once."
NO_SUCH_FIELD = "There is no such field."

REQUIREMENTS = "requirements"
FILES = {"script", "archive"}
FIELDS = {name: field for name, field in UploadFormSchema().fields.items() if name not in FILES}

_object = msgspec.json.Decoder(dict[str, bool | int | float | str | None])


def is_field(name: str) -> bool:
    """Whether a form may have a field of that name, files aside."""
    return name in FIELDS


def add_field(
    document: dict[str, Any],
    wrong: Callable[[str, str], None],
    name: str,
    content: bytes,
    *,
    is_file: bool,
    direct_references: bool,
) -> None:
    """Add a field to `document`, or tell `wrong` why not; what it may say is judged later."""
    if not is_field(name):
        wrong(name, NO_SUCH_FIELD)
        return
    if name in document and name != REQUIREMENTS:
        wrong(name, REPEATED)
        return
    try:
        text = content.decode("utf-8-sig" if is_file else "utf-8")
    except UnicodeDecodeError:
        wrong(name, NOT_UTF8)
        return
    try:
        if name == REQUIREMENTS:
            document.setdefault(name, []).extend(
                read_requirements_file(text, direct_references=direct_references)
                if is_file
                else [text]
            )
        else:
            document[name] = _value(name, text)
    except (msgspec.DecodeError, RecursionError):
        wrong(name, _not_an_object(FIELDS[name]))
    except InvalidSubmission as error:
        for message in error.errors[name]:
            wrong(name, message)


def _value(name: str, text: str) -> Any:
    # what is no number and no flag stays text, which the schema then refuses in its own words
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
    return "Must be a JSON object whose values are text."
