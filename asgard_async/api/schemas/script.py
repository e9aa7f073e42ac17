"""The script of an upload: base64 in JSON, bytes in a form."""

import base64
import binascii
from collections.abc import Mapping
from typing import Any

from marshmallow import ValidationError, fields

from asgard_async.api.schemas.submission_rules import SubmissionLimits


class Script(fields.String):
    """A script: base64 in JSON, bytes in a form; loads as bytes."""

    def _deserialize(
        self, value: Any, attr: str | None, data: Mapping[str, Any] | None, **kwargs: Any
    ) -> Any:
        limits = getattr(self.root, "limits", None) or SubmissionLimits()
        if isinstance(value, bytes):
            return check_script(value, limits.max_script_bytes)
        content = super()._deserialize(value, attr, data, **kwargs)
        return decode_script(content, limits.max_script_bytes)


def base64_size(size: int) -> int:
    """Return the length of `size` bytes in base64."""
    return 4 * (-(-size // 3))


def decode_script(content: str, max_bytes: int) -> bytes:
    """Decode a script from base64.

    Raises:
        ValidationError: The content is not strict base64, or `check_script` rejects the script.
    """
    # before decoding, to avoid work on oversized content
    if len(content) > base64_size(max_bytes):
        raise ValidationError(f"The script is larger than {max_bytes} bytes.")
    try:
        script = binascii.a2b_base64(content, strict_mode=True)
    except ValueError as error:  # binascii.Error, and characters outside ASCII
        raise ValidationError(f"Invalid base64: {error}.") from error
    # strict_mode ignores missing or excess bits, and Python versions differ in this
    if base64.b64encode(script) != content.encode():
        raise ValidationError("Invalid base64: wrong padding.")
    return check_script(script, max_bytes)


def check_script(script: bytes, max_bytes: int) -> bytes:
    """Return the script unchanged if it is valid.

    Raises:
        ValidationError: The script is too large, empty or not UTF-8.
    """
    if len(script) > max_bytes:
        raise ValidationError(f"The script is larger than {max_bytes} bytes.")
    if not script:
        raise ValidationError("The script is empty.")
    try:
        script.decode("utf-8")
    except UnicodeDecodeError as error:
        raise ValidationError(f"The script is not UTF-8: byte {error.start}.") from error
    return script
