"""Conversion of form fields, which are all text, to the values that JSON would have."""

import re
from collections.abc import Callable
from typing import Any

import msgspec

from asgard_async.api.http.json_body import MAX_COMPOUND_BYTES, TOO_LARGE, UNKNOWN_FIELD
from asgard_async.domain.errors import InvalidSubmission
from asgard_async.jobs.submit.requirements import read_requirements_file

NOT_UTF8 = "Must be valid UTF-8."
REPEATED = "Must be given only once."

TEXTS = {"script_name", "experiment_name", "model_name", "idempotency_key", "entrypoint"}
NUMBERS = {"timeout", "priority"}
FLAGS = {"warm"}
OBJECTS = {"environment_vars", "tags", "resources"}
REQUIREMENTS = "requirements"

NOT_AN_OBJECT = dict.fromkeys(OBJECTS, "Must be a JSON object whose values are text.") | {
    "resources": 'Must be a JSON object such as {"memory_mb": 4096, "cpus": 2}.'
}

_object = msgspec.json.Decoder(dict[str, bool | int | float | str | None])


def is_field(name: str) -> bool:
    """Return whether a form may have a field of that name, other than a file."""
    return name == REQUIREMENTS or name in TEXTS | NUMBERS | FLAGS | OBJECTS


def add_field(
    document: dict[str, Any],
    add_error: Callable[[str, str], None],
    name: str,
    content: bytes,
    *,
    is_file: bool,
    direct_references: bool,
) -> None:
    """Add a field to `document`, or report why that is not possible to `add_error`.

    The schema validates the value later.
    """
    if not is_field(name):
        add_error(name, UNKNOWN_FIELD)
        return
    if name in document and name != REQUIREMENTS:
        add_error(name, REPEATED)
        return
    try:
        text = content.decode("utf-8-sig" if is_file else "utf-8")
    except UnicodeDecodeError:
        add_error(name, NOT_UTF8)
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
        add_error(name, NOT_AN_OBJECT[name])
    except InvalidSubmission as error:
        for message in error.errors[name]:
            add_error(name, message)


def _value(name: str, text: str) -> Any:
    # malformed numbers and flags stay text, which the schema rejects with its own message
    if name in NUMBERS and re.fullmatch(r"-?[0-9]{1,18}", text):
        return int(text)
    if name in FLAGS and text in {"true", "false"}:
        return text == "true"
    if name in OBJECTS:
        if len(text) > MAX_COMPOUND_BYTES:
            raise InvalidSubmission({name: [f"{TOO_LARGE}."]})
        return _object.decode(text)
    return text
