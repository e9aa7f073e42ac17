"""The fields of an upload, and the rules that can be checked without other data.

Simple fields are declared in `domain.job.JobSpec`, with their rules. `jobs.submit` checks that
requirements can be parsed and that scripts compile.
"""

import base64
import binascii
import hashlib
import json
import posixpath
import re
from collections.abc import Mapping
from dataclasses import MISSING, dataclass
from dataclasses import Field as DomainField
from dataclasses import fields as fields_of
from typing import Any

from aiohttp import web
from marshmallow import Schema, ValidationError, fields
from marshmallow.validate import Length, Range

from asgard_async.api.schemas.fields import (
    Flag,
    Number,
    TextList,
    TextMap,
    WholeNumber,
    as_validator,
    documented,
    no_nul,
)
from asgard_async.config import LARGEST, JobsConfig, LimitsConfig
from asgard_async.domain.job import ACCEPTED, Accepted, JobSpec
from asgard_async.domain.requester import Requester
from asgard_async.domain.submission import Submission, UploadedArchive
from asgard_async.executors.environment_variables import is_reserved
from asgard_async.jobs.submit.requirements import MAX_REQUIREMENT, MAX_REQUIREMENTS

MAX_NAME = 255
"""The maximum length of a file name on Linux in bytes, here also used for characters."""
MAX_ENTRYPOINT = 1024
MAX_MODEL_NAME = 256
"""The width of the name column in MLflow's registry."""
MAX_ENTRIES = 100
MAX_ENVIRONMENT_BYTES = 64 * 1024
MAX_TAG_KEY = 250
MAX_TAG_VALUE = 5000
MAX_TAGS_BYTES = 96 * 1024
"""Size as JSON. The script receives all tags in one variable, which Linux limits to 128 KiB."""
MAX_KEY = 255
LEAST_MEMORY_MB = 16
"""The interpreter does not start with less."""
LEAST_CPUS = 0.01
"""The smallest share that the kernel's scheduler accepts."""


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


@documented(pattern=r"\.py$")
def entrypoint(path: str) -> str | None:
    """Check for a relative path that cannot leave the archive."""
    parts = path.split("/")
    if re.search(r"[\\\x00-\x1f\x7f]", path) or {"", ".", ".."} & {*parts}:
        return "Must be the path of a file in the archive, such as 'src/train.py'."
    if not path.endswith(".py") or parts[-1] == ".py":
        return "Must be a .py file."
    return None


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


def tags_size(tags: Mapping[str, str]) -> None:
    size = len(json.dumps(tags))
    if size > MAX_TAGS_BYTES:
        raise ValidationError(f"Too large: {size} bytes as JSON; the limit is {MAX_TAGS_BYTES}.")


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


class ResourcesAskedSchema(Schema):
    """Limits for the job, within the configured limits."""

    memory_mb = WholeNumber(metadata={"description": "Memory in MiB."})
    cpus = Number(metadata={"description": "CPU time per second, such as 1.5."})

    class Meta:
        example = {"memory_mb": 4096, "cpus": 2}


def resources_within(limits: SubmissionLimits) -> Schema:
    """Return the schema of resources, bounded by the configured limits."""
    schema = ResourcesAskedSchema()
    bounds = (("memory_mb", LEAST_MEMORY_MB, limits.memory_mb), ("cpus", LEAST_CPUS, limits.cpus))
    for name, least, most in bounds:
        field = schema.fields[name]
        field.validators = [Range(least, most or LARGEST)]
    return schema


def _declared_in_domain() -> dict[str, fields.Field[Any]]:
    """Return the fields of `JobSpec` that are declared with rules."""
    return {
        declared.name: _field_of(declared, declared.metadata[ACCEPTED])
        for declared in fields_of(JobSpec)
        if ACCEPTED in declared.metadata
    }


def _field_of(declared: DomainField[Any], rules: Accepted) -> fields.Field[Any]:
    metadata: dict[str, Any] = {"description": rules.description}
    if rules.example is not None:
        metadata["example"] = rules.example
    options: dict[str, Any] = {"metadata": metadata}
    if declared.default is MISSING:
        options["required"] = True
    else:
        options["load_default"] = declared.default
    within = Range(rules.minimum, rules.maximum)
    if declared.type is bool:
        return Flag(**options)
    if declared.type is int:
        return WholeNumber(validate=within, **options)
    if declared.type is float:
        return Number(validate=within, **options)
    if declared.type is str:
        length = Length(rules.minimum, rules.maximum)
        return fields.String(validate=[length, as_validator(no_nul)], **options)
    raise TypeError(f"{declared.name}: declare a field of this type in SubmissionSchema")


class SubmissionSchema(Schema):
    """An upload as JSON; `to_submission` converts the loaded fields."""

    def __init__(self, limits: SubmissionLimits | None = None, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.limits = limits = limits or SubmissionLimits()
        # fields belong to the instance, so the document shows the configured limits
        timeout, script = self.fields["timeout"], self.fields.get("script_content")
        timeout.validators = [Range(limits.timeout_min, limits.timeout_max)]
        timeout.load_default = limits.timeout_default
        resources = self.fields["resources"]
        assert isinstance(resources, fields.Nested)  # noqa: S101
        resources.nested = resources_within(limits)
        if script is not None:
            size = base64_size(limits.max_script_bytes)
            script.metadata = {**script.metadata, "maxLength": size}

    class Meta:
        include = _declared_in_domain()
        example = {
            "script_name": "train.py",
            "script_content": "cHJpbnQoImhlbGxvIikK",
            "experiment_name": "churn",
            "model_name": "churn",
            "requirements": ["scikit-learn"],
            "environment_vars": {"EPOCHS": "3"},
            "timeout": 600,
            "tags": {"team": "fraud"},
            "priority": 0,
            "idempotency_key": "churn-2026-01-31",
            "warm": True,
            "resources": {"memory_mb": 4096},
        }

    script_name = fields.String(
        required=True,
        validate=[Length(1, MAX_NAME), as_validator(file_name)],
        metadata={"description": "A plain file name.", "example": "train.py"},
    )
    script_content = Script(
        required=True,
        metadata={
            "description": "The script, UTF-8, in standard base64.",
            "contentEncoding": "base64",
            "minLength": 4,
            "pattern": "^(?:[A-Za-z0-9+/]{4})*(?:[A-Za-z0-9+/]{2}==|[A-Za-z0-9+/]{3}=)?$",
            "example": "cHJpbnQoImhlbGxvIikK",
        },
    )
    model_name = fields.String(
        required=True,
        validate=[Length(1, MAX_MODEL_NAME), as_validator(model_name)],
        metadata={"description": "Registered model of the job's result.", "example": "churn"},
    )
    requirements = TextList(
        max_entries=MAX_REQUIREMENTS,
        check=[Length(1, MAX_REQUIREMENT), as_validator(no_nul)],
        load_default=list,
        metadata={"description": "PEP 508 requirements.", "example": ["scikit-learn"]},
    )
    environment_vars = TextMap(
        max_entries=MAX_ENTRIES,
        check_name=[variable_name],
        check_text=[no_nul],
        load_default=dict,
        validate=environment_size,
        metadata={"description": "Environment variables of the script."},
    )
    timeout = WholeNumber(
        metadata={"description": "Time limit in seconds; the default is configured."}
    )
    tags = TextMap(
        max_entries=MAX_ENTRIES,
        check_name=[tag_key],
        check_text=[tag_value, no_nul],
        load_default=dict,
        validate=tags_size,
        metadata={"description": "Tags of the job's MLflow runs."},
    )
    idempotency_key = fields.String(
        load_default=None,
        allow_none=False,
        validate=as_validator(idempotency_key),
        metadata={"description": "Makes it safe to repeat the upload; also a header."},
    )
    resources = fields.Nested(
        ResourcesAskedSchema,
        load_default=dict,
        metadata={"description": "Limits for the job; the default is configured."},
    )


def base64_size(size: int) -> int:
    """Return the length of `size` bytes in base64."""
    return 4 * (-(-size // 3))


class ArchiveSubmissionSchema(SubmissionSchema):
    """An upload with an archive."""

    class Meta:
        exclude = ("script_content",)

    entrypoint = fields.String(
        required=True,
        validate=[Length(1, MAX_ENTRYPOINT), as_validator(entrypoint)],
        metadata={"description": "The archived .py file to run.", "example": "src/train.py"},
    )


class UploadFormSchema(SubmissionSchema):
    """An upload as a form, for documentation only; the other schemas validate its fields."""

    class Meta:
        exclude = ("script_content",)
        example = {
            "script": "print('hello')",
            "experiment_name": "churn",
            "model_name": "churn",
            "requirements": ["scikit-learn"],
        }

    script_name = fields.String(
        metadata={"description": "Name of the script; defaults to the file name of the part."}
    )
    script = fields.String(
        metadata={"description": "The script, a .py file; send either this or an archive."}
    )
    archive = fields.String(
        metadata={
            "description": "A .zip or .tar.gz with the script and its files.",
            "format": "binary",
        }
    )
    entrypoint = fields.String(
        validate=[Length(1, MAX_ENTRYPOINT), as_validator(entrypoint)],
        metadata={"description": "The archived .py file to run.", "example": "src/train.py"},
    )


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


def to_submission(loaded: Mapping[str, Any], *, requester: Requester) -> Submission:
    """Convert loaded fields of SubmissionSchema."""
    spec = dict(loaded)
    script, key = spec.pop("script_content"), spec.pop("idempotency_key")
    return Submission(
        spec=_to_spec(spec, script_sha256=hashlib.sha256(script).hexdigest()),
        script=script,
        idempotency_key=key,
        requester=requester,
    )


def to_archive_submission(
    loaded: Mapping[str, Any], archive: UploadedArchive, *, requester: Requester
) -> Submission:
    """Convert an archive and loaded fields of ArchiveSubmissionSchema."""
    spec = dict(loaded)
    key = spec.pop("idempotency_key")
    return Submission(
        spec=_to_spec(spec, script_sha256=archive.sha256),
        archive=archive,
        idempotency_key=key,
        requester=requester,
    )


def _to_spec(fields: dict[str, Any], script_sha256: str) -> JobSpec:
    fields |= fields.pop("resources")
    fields["requirements"] = tuple(fields["requirements"])
    return JobSpec(script_sha256=script_sha256, **fields)


SUBMISSION_SCHEMA = web.AppKey("submission_schema", SubmissionSchema)
ARCHIVE_SUBMISSION_SCHEMA = web.AppKey("archive_submission_schema", ArchiveSubmissionSchema)
