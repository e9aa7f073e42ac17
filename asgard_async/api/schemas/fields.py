"""Fields that marshmallow does not have, or not strictly enough."""

import re
from collections.abc import Callable, Iterable, Mapping
from datetime import UTC, datetime
from typing import Any

from marshmallow import ValidationError, fields

Check = Callable[[str], str | None]
"""Says what is wrong with a text, or None."""


def documented(**keywords: Any) -> Callable[[Check], Check]:
    """Say with keywords of JSON Schema what a check lets through, for the documentation.

    They may let through more than the check, never less.
    """

    def decorate(check: Check) -> Check:
        check.__dict__["json_schema"] = keywords
        return check

    return decorate


def json_schema_of(check: object) -> Mapping[str, Any]:
    """What `documented` says of a check or of a validator that was made of it."""
    keywords: Mapping[str, Any] = getattr(check, "json_schema", {})
    return keywords


class Flag(fields.Boolean):
    """`true` or `false` and nothing that merely resembles them."""

    default_error_messages = {"invalid": "Must be true or false."}

    def _deserialize(
        self, value: Any, attr: str | None, data: Mapping[str, Any] | None, **kwargs: Any
    ) -> bool:
        if not isinstance(value, bool):
            raise self.make_error("invalid", input=value)
        return value


class WholeNumber(fields.Integer):
    """A JSON integer: not "5", not 5.0, not true."""

    default_error_messages = {"invalid": "Must be a whole number."}

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
    """A whole number in a query: ASCII digits."""

    default_error_messages = {"invalid": "Must be a whole number."}

    def _deserialize(
        self, value: Any, attr: str | None, data: Mapping[str, Any] | None, **kwargs: Any
    ) -> int:
        if not re.fullmatch(r"-?[0-9]{1,18}", str(value)):
            raise self.make_error("invalid", input=value)
        return int(value)


class QueryFlag(fields.Boolean):
    """`true` or `false` in a query; also 1 and 0."""

    truthy = {"true", "1"}
    falsy = {"false", "0"}
    default_error_messages = {"invalid": "Must be true or false."}


class Moment(fields.AwareDateTime):
    """RFC 3339 with an offset or `Z`, made UTC."""

    default_error_messages = {
        "invalid": "Must be a time such as 2026-01-31T12:00:00Z (a + in a query is written %2B).",
        "invalid_awareness": "Must say its time zone, as in 2026-01-31T12:00:00Z.",
    }

    def _deserialize(
        self, value: Any, attr: str | None, data: Mapping[str, Any] | None, **kwargs: Any
    ) -> datetime:
        moment = super()._deserialize(value, attr, data, **kwargs)
        if not 1970 <= moment.year < 9999:  # what lies outside may overflow when made UTC
            raise self.make_error("invalid", input=value, obj_type="datetime")
        return moment.astimezone(UTC)


class TextList(fields.List[str]):
    """A list of text of bounded length, which is judged before any of its items."""

    def __init__(self, *, max_entries: int, check: Iterable[Any], **kwargs: Any) -> None:
        super().__init__(fields.String(validate=check), **kwargs)
        self._max_entries = max_entries

    def _deserialize(
        self, value: Any, attr: str | None, data: Mapping[str, Any] | None, **kwargs: Any
    ) -> list[Any]:
        # a body has room for half a million items: looking at each would hold the event loop
        if isinstance(value, list) and len(value) > self._max_entries:
            raise ValidationError(f"Has {len(value)} entries; at most {self._max_entries}.")
        loaded: list[Any] = super()._deserialize(value, attr, data, **kwargs)
        return loaded


class TextMap(fields.Dict):
    """An object of text by name, of bounded size. Errors are by name: {"tags": {"a": […]}}."""

    default_error_messages = {"invalid": "Must be an object whose values are text."}

    def __init__(
        self,
        *,
        max_entries: int,
        check_name: Iterable[Check] = (),
        check_text: Iterable[Check] = (),
        **kwargs: Any,
    ) -> None:
        super().__init__(keys=fields.String(), values=fields.String(), **kwargs)
        self.max_entries = max_entries
        self.check_name = tuple(check_name)
        self.check_text = tuple(check_text)

    def _deserialize(
        self, value: Any, attr: str | None, data: Mapping[str, Any] | None, **kwargs: Any
    ) -> dict[Any, Any]:
        if not isinstance(value, dict):
            raise self.make_error("invalid", input=value)
        if len(value) > self.max_entries:
            raise ValidationError(f"Has {len(value)} entries; at most {self.max_entries}.")
        errors = {
            name: messages for name, text in value.items() if (messages := self._wrong(name, text))
        }
        if errors:
            raise ValidationError(errors)
        return value

    def _wrong(self, name: str, text: object) -> list[str]:
        messages = [wrong for check in self.check_name if (wrong := check(name))]
        if not isinstance(text, str):
            return [*messages, "Its value must be text."]
        return messages + [wrong for check in self.check_text if (wrong := check(text))]


@documented(pattern=r"^[^\x00]*$")
def no_nul(text: str) -> str | None:
    """NUL ends a text early wherever C reads it: environment, arguments, SQL."""
    return "Must not hold NUL characters." if "\0" in text else None


def as_validator(check: Check) -> Callable[[str], None]:
    """A check as marshmallow wants it."""

    def validate(text: str) -> None:
        if wrong := check(text):
            raise ValidationError(wrong)

    validate.__dict__["json_schema"] = json_schema_of(check)
    return validate
