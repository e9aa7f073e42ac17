"""The rules for the fields of an upload: bounds, and checks of their text."""

import json
import posixpath
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from marshmallow import ValidationError

from asgard_async.api.schemas.fields import documented
from asgard_async.config import JobsConfig, LimitsConfig
from asgard_async.domain.job import NOTEBOOK_SUFFIX, Scalar
from asgard_async.executors.environment_variables import is_reserved
from asgard_async.mlflow.job_variables import MAX_TAG_VALUE

MAX_NAME = 255
"""The maximum length of a file name on Linux in bytes, here also used for characters."""
MAX_ENTRYPOINT = 1024
MAX_MODEL_NAME = 256
"""The width of the name column in MLflow's registry."""
MAX_ENTRIES = 100
MAX_ENVIRONMENT_BYTES = 64 * 1024
MAX_TAG_KEY = 250
MAX_TAGS_BYTES = 96 * 1024
"""Size as JSON. The script receives all tags in one variable, which Linux limits to 128 KiB."""
MAX_KEY = 255
MAX_ARGS = 1000
MAX_PARAM_NAME = 250
MAX_ARGUMENT = 8000
MAX_ARGUMENTS_BYTES = 64 * 1024
"""Size of `args`, and of `params`, as JSON."""
MAX_INTEGER = 2**63


@dataclass(frozen=True, kw_only=True)
class SubmissionLimits:
    """Limits of submissions from the configuration."""

    max_script_bytes: int = 1048576
    timeout_default: int = 300
    timeout_min: int = 60
    timeout_max: int = 3600
    memory_mb: int = 0
    """0 for no limit."""
    cpus: float = 0
    """0 for no limit."""

    @classmethod
    def of(cls, jobs: JobsConfig, limits: LimitsConfig) -> "SubmissionLimits":
        return cls(
            memory_mb=limits.memory_mb,
            cpus=limits.cpus,
            max_script_bytes=jobs.max_script_bytes,
            timeout_default=jobs.timeout_default,
            timeout_min=jobs.timeout_min,
            timeout_max=jobs.timeout_max,
        )


@documented(pattern=r"^[^./\\\x00-\x1f\x7f][^/\\\x00-\x1f\x7f]*$")
def file_name(name: str) -> str | None:
    if name.startswith("."):
        return "Must not begin with a dot."
    if re.search(r"[/\\\x00-\x1f\x7f]", name):
        return "Must be a plain file name without slashes or control characters."
    if len(name.encode()) > MAX_NAME:
        return f"Must have at most {MAX_NAME} bytes."
    return None


@documented(pattern=r"\.(py|ipynb)$")
def entrypoint(path: str) -> str | None:
    """Check for a relative path that cannot leave the archive."""
    parts = path.split("/")
    if re.search(r"[\\\x00-\x1f\x7f]", path) or {"", ".", ".."} & {*parts}:
        return "Must be the path of a file in the archive, such as 'src/train.py'."
    if not path.endswith((".py", ".ipynb")) or parts[-1] in {".py", ".ipynb"}:
        return "Must be a .py file, or a notebook (.ipynb)."
    return None


def as_notebook(name: str) -> str:
    """Return the name of a notebook that was uploaded under another name, such as train.py."""
    stem, dot, _ = name.rpartition(".")
    return f"{(stem if dot else name)[: MAX_NAME - len(NOTEBOOK_SUFFIX)]}{NOTEBOOK_SUFFIX}"


def is_notebook(content: bytes) -> bool:
    """Return whether a program is a notebook, which is JSON, by a look at its text."""
    return content.lstrip()[:1] == b"{" and b'"cells"' in content and b'"nbformat"' in content


@documented(pattern=r"^(?!\.$|\.\.|\s*$)[^/:\x00-\x1f\x7f]+$")
def model_name(name: str) -> str | None:
    """Check the rules of MLflow's registry."""
    if not name.strip():
        return "Must not be blank."
    if re.search(r"[/:\x00-\x1f\x7f\ud800-\udfff]", name):
        return "Must not contain '/', ':', control characters or lone surrogates."
    if name == "." or name.startswith(".."):
        return "Must not look like a relative path."
    return None


@documented(pattern=r"^[A-Za-z_][A-Za-z0-9_]*$")
def variable_name(name: str) -> str | None:
    if not re.fullmatch(r"[A-Za-z_][A-Za-z0-9_]*", name):
        return "Not a variable name: use letters, digits and _, not starting with a digit."
    if is_reserved(name):
        return "Reserved: Asgard sets this variable. Choose another name."
    return None


@documented(
    minLength=1, maxLength=MAX_TAG_KEY, pattern=r"^(?!mlflow\.|asgard\.|\.\.|/)[/\w.\- :]+$"
)
def tag_key(key: str) -> str | None:
    """Check the rules of MLflow's tags, and reject reserved prefixes."""
    if not 1 <= len(key) <= MAX_TAG_KEY:
        return f"Tag keys must have 1 to {MAX_TAG_KEY} characters."
    if key.startswith(("mlflow.", "asgard.")):
        return "Tag keys starting with 'mlflow.' or 'asgard.' are reserved."
    if not re.fullmatch(r"[/\w.\- :]*", key):
        return "Tag keys may contain letters, digits, '_', '-', '.', ':', '/' and spaces."
    if posixpath.normpath(key) != key or key == "." or key.startswith(("..", "/")):
        return "Tag keys with slashes must be relative paths without '.' and '..'."
    return None


@documented(maxLength=MAX_TAG_VALUE)
def tag_value(value: str) -> str | None:
    if len(value) > MAX_TAG_VALUE:
        return f"Tag values must have at most {MAX_TAG_VALUE} characters."
    return None


@documented(minLength=1, maxLength=MAX_KEY, pattern=r"^[^\x00-\x1f\x7f]*$")
def idempotency_key(key: str) -> str | None:
    if not (1 <= len(key) <= MAX_KEY and key.isprintable()):
        return f"Must be 1 to {MAX_KEY} printable characters."
    return None


def environment_size(variables: Mapping[str, str]) -> None:
    size = sum(len(name.encode()) + len(value.encode()) + 2 for name, value in variables.items())
    if size > MAX_ENVIRONMENT_BYTES:
        raise ValidationError(f"Too large: {size} bytes; the limit is {MAX_ENVIRONMENT_BYTES}.")


@documented(minLength=1, maxLength=MAX_PARAM_NAME, pattern=r"^[A-Za-z_][A-Za-z0-9_.\-]*$")
def param_name(name: str) -> str | None:
    if not re.fullmatch(r"[A-Za-z_][A-Za-z0-9_.\-]*", name) or len(name) > MAX_PARAM_NAME:
        return (
            "Not the name of a parameter: use letters, digits, '_', '.' and '-', starting with a"
            f" letter, at most {MAX_PARAM_NAME}."
        )
    return None


@documented(maxLength=MAX_ARGUMENT)
def argument(text: str) -> str | None:
    if len(text) > MAX_ARGUMENT:
        return f"Must have at most {MAX_ARGUMENT} characters; send long text in a file."
    return None


def args_size(args: Sequence[str]) -> None:
    _check_json_size(args, MAX_ARGUMENTS_BYTES)


def params_size(params: Mapping[str, Scalar]) -> None:
    _check_json_size(params, MAX_ARGUMENTS_BYTES)
    for name, value in params.items():
        if isinstance(value, int) and abs(value) >= MAX_INTEGER:
            raise ValidationError({name: ["The number is too large; send it as text."]})


def tags_size(tags: Mapping[str, str]) -> None:
    _check_json_size(tags, MAX_TAGS_BYTES)


def _check_json_size(value: object, limit: int) -> None:
    size = len(json.dumps(value))
    if size > limit:
        raise ValidationError(f"Too large: {size} bytes as JSON; the limit is {limit}.")
