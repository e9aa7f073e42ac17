"""Fields that marshmallow lacks or does not check strictly enough."""

import re
from collections.abc import Callable, Iterable, Mapping
from datetime import UTC, datetime
from typing import Any

from marshmallow import ValidationError, fields

Check = Callable[[str], str | None]
"""Returns the reason why a text is invalid, or None."""


def documented(**keywords: Any) -> Callable[[Check], Check]:
    """Document a check with JSON Schema keywords.

    The keywords may be looser than the check, never stricter.
    """

    def decorate(check: Check) -> Check:
        check.__dict__["json_schema"] = keywords
        return check

    return decorate


def json_schema_of(check: object) -> Mapping[str, Any]:
    """Return the keywords from `documented` for a check, or for a validator made from it."""
    keywords: Mapping[str, Any] = getattr(check, "json_schema", {})
    return keywords


class Flag(fields.Boolean):
    """Exactly `true` or `false`; no similar values."""

    default_error_messages = {"invalid": "Must be true or false."}

    def _deserialize(
        self, value: Any, attr: str | None, data: Mapping[str, Any] | None, **kwargs: Any
    ) -> bool:
        if not isinstance(value, bool):
            raise self.make_error("invalid", input=value)
        return value


class WholeNumber(fields.Integer):
    """A JSON integer: not "5", not 5.0, not true."""

    default_error_messages = {"invalid": "Must be an integer."}

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(strict=True, **kwargs)


class Number(fields.Float):
    """A JSON number: not "5", not true."""

    default_error_messages = {"invalid": "Must be a number."}

    def _deserialize(
        self, value: Any, attr: str | None, data: Mapping[str, Any] | None, **kwargs: Any
    ) -> float:
        if not isinstance(value, int | float) or isinstance(value, bool):
            raise self.make_error("invalid", input=value)
        try:
            return float(value)
        except OverflowError:
            raise self.make_error("too_large", input=value) from None


class QueryNumber(fields.Integer):
    """An integer in a query: ASCII digits."""

    default_error_messages = {"invalid": "Must be an integer."}

    def _deserialize(
        self, value: Any, attr: str | None, data: Mapping[str, Any] | None, **kwargs: Any
    ) -> int:
        if not re.fullmatch(r"-?[0-9]{1,18}", str(value)):
            raise self.make_error("invalid", input=value)
        return int(value)


class QueryFlag(fields.Boolean):
    """`true` or `false` in a query, or 1 or 0."""

    truthy = {"true", "1"}
    falsy = {"false", "0"}
    default_error_messages = {"invalid": "Must be true or false."}


class Moment(fields.AwareDateTime):
    """A time in RFC 3339 with an offset or `Z`, converted to UTC."""

    default_error_messages = {
        "invalid": "Must be a time such as 2026-01-31T12:00:00Z (write + in a query as %2B).",
        "invalid_awareness": "Must have a time zone, as in 2026-01-31T12:00:00Z.",
    }

    def _deserialize(
        self, value: Any, attr: str | None, data: Mapping[str, Any] | None, **kwargs: Any
    ) -> datetime:
        moment = super()._deserialize(value, attr, data, **kwargs)
        if not 1970 <= moment.year < 9999:  # other years may overflow in the conversion to UTC
            raise self.make_error("invalid", input=value, obj_type="datetime")
        return moment.astimezone(UTC)


class TextList(fields.List[str]):
    """A list of text whose length is checked before its items."""

    def __init__(self, *, max_entries: int, check: Iterable[Any], **kwargs: Any) -> None:
        super().__init__(fields.String(validate=check), **kwargs)
        self._max_entries = max_entries

    def _deserialize(
        self, value: Any, attr: str | None, data: Mapping[str, Any] | None, **kwargs: Any
    ) -> list[Any]:
        # a body may have half a million items, and checking each would block the event loop
        if isinstance(value, list) and len(value) > self._max_entries:
            raise ValidationError(f"At most {self._max_entries} entries; got {len(value)}.")
        loaded: list[Any] = super()._deserialize(value, attr, data, **kwargs)
        return loaded


class TextMap(fields.Dict):
    """An object of bounded size whose values are text. Errors are by name: {"tags": {"a": […]}}."""

    default_error_messages = {"invalid": "Must be an object whose values are text."}
    value_types: tuple[type, ...] = (str,)
    value_message = "The value must be text."

    def __init__(
        self,
        *,
        max_entries: int,
        check_name: Iterable[Check] = (),
        check_text: Iterable[Check] = (),
        values: fields.Field[Any] | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(keys=fields.String(), values=values or fields.String(), **kwargs)
        self.max_entries = max_entries
        self.check_name = tuple(check_name)
        self.check_text = tuple(check_text)

    def _deserialize(
        self, value: Any, attr: str | None, data: Mapping[str, Any] | None, **kwargs: Any
    ) -> dict[Any, Any]:
        if not isinstance(value, dict):
            raise self.make_error("invalid", input=value)
        if len(value) > self.max_entries:
            raise ValidationError(f"At most {self.max_entries} entries; got {len(value)}.")
        errors = {
            name: messages for name, text in value.items() if (messages := self._check(name, text))
        }
        if errors:
            raise ValidationError(errors)
        return value

    def _check(self, name: str, text: object) -> list[str]:
        messages = [message for check in self.check_name if (message := check(name))]
        if not isinstance(text, self.value_types):
            return [*messages, self.value_message]
        if not isinstance(text, str):
            return messages
        return messages + [message for check in self.check_text if (message := check(text))]


SCALAR = {"type": ["string", "number", "boolean"]}
"""Metadata of a value that is text, a number, true or false."""


class ScalarMap(TextMap):
    """An object of bounded size whose values are text, numbers, true or false."""

    default_error_messages = {"invalid": "Must be an object of text, numbers, true or false."}
    value_types = (str, bool, int, float)
    value_message = "The value must be text, a number, true or false."

    def __init__(self, **kwargs: Any) -> None:
        values: fields.Field[Any] = fields.Raw(metadata=SCALAR)
        super().__init__(values=values, **kwargs)


@documented(pattern=r"^[^\x00]*$")
def no_nul(text: str) -> str | None:
    """Reject NUL, which ends a string in C: in the environment, arguments and SQL."""
    return "Must not contain NUL characters." if "\0" in text else None


def as_validator(check: Check) -> Callable[[str], None]:
    """Convert a check to a marshmallow validator."""

    def validate(text: str) -> None:
        if message := check(text):
            raise ValidationError(message)

    validate.__dict__["json_schema"] = json_schema_of(check)
    return validate
