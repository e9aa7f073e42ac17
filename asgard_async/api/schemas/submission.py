"""The fields of an upload, with every rule of the contract that can be judged from them alone.

What a requirement means and whether a script compiles is judged by the jobs room.
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
from asgard_async.domain.submission import Submission, UploadedArchive
from asgard_async.executors.environment_variables import is_reserved

MAX_NAME = 255
"""Of a file, in characters and in bytes: what Linux's file systems take."""
MAX_ENTRYPOINT = 1024
MAX_MODEL_NAME = 256
"""What the name column of MLflow's registry holds."""
MAX_ENTRIES = 100
MAX_REQUIREMENTS = 1000
"""`pip freeze` of a real project prints 150 to 300."""
MAX_REQUIREMENT = 500
MAX_ENVIRONMENT_BYTES = 64 * 1024
MAX_TAG_KEY = 250
MAX_TAG_VALUE = 5000
MAX_TAGS_BYTES = 96 * 1024
"""As JSON. All tags travel to the script in one variable, and Linux takes 128 KiB in one."""
MAX_KEY = 255
LEAST_MEMORY_MB = 16
"""With less, not even an interpreter starts."""
LEAST_CPUS = 0.01
"""What the kernel's scheduler takes."""


@dataclass(frozen=True, kw_only=True)
class SubmissionLimits:
    """What the configuration says of submissions."""

    max_script_bytes: int = 1048576
    timeout_default: int = 300
    timeout_min: int = 60
    timeout_max: int = 3600
    memory_mb: int = 0
    """0 for none, as the next."""
    cpus: float = 0

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
        return "Must be a plain file name, without slashes and control characters."
    if len(name.encode()) > MAX_NAME:
        return f"Must have at most {MAX_NAME} bytes."
    return None


@documented(pattern=r"\.py$")
def entrypoint(path: str) -> str | None:
    """A path as it stands in an archive, which can be nowhere else."""
    parts = path.split("/")
    if re.search(r"[\\\x00-\x1f\x7f]", path) or {"", ".", ".."} & {*parts}:
        return "Must be the path of a file in the archive, such as 'src/train.py'."
    if not path.endswith(".py") or parts[-1] == ".py":
        return "Must be a .py file."
    return None


@documented(pattern=r"^(?!\.$|\.\.|\s*$)[^/:\x00-\x1f\x7f]+$")
def model_name(name: str) -> str | None:
    """The rules of MLflow's registry."""
    if not name.strip():
        return "Must not be blank."
    if re.search(r"[/:\x00-\x1f\x7f\ud800-\udfff]", name):
        return "Must not hold '/', ':', control characters or lone surrogates."
    if name == "." or name.startswith(".."):
        return "Must not look like a relative path."
    return None


@documented(pattern=r"^[A-Za-z_][A-Za-z0-9_]*$")
def variable_name(name: str) -> str | None:
    if not re.fullmatch(r"[A-Za-z_][A-Za-z0-9_]*", name):
        return "Is no name for a variable: letters, digits and _, not beginning with a digit."
    if is_reserved(name):
        return "Is set by Asgard itself; choose another name."
    return None


@documented(
    minLength=1, maxLength=MAX_TAG_KEY, pattern=r"^(?!mlflow\.|asgard\.|\.\.|/)[/\w.\- :]+$"
)
def tag_key(key: str) -> str | None:
    """The rules of MLflow's tags, without the prefixes that have an owner."""
    if not 1 <= len(key) <= MAX_TAG_KEY:
        return f"A tag's key has 1 to {MAX_TAG_KEY} characters."
    if key.startswith(("mlflow.", "asgard.")):
        return "Tags that begin with 'mlflow.' or 'asgard.' are not yours to set."
    if not re.fullmatch(r"[/\w.\- :]*", key):
        return "A tag's key holds letters, digits, '_', '-', '.', ':', '/' and spaces."
    if posixpath.normpath(key) != key or key == "." or key.startswith(("..", "/")):
        return "A tag's key with slashes must be a relative path without '.' and '..'."
    return None


@documented(maxLength=MAX_TAG_VALUE)
def tag_value(value: str) -> str | None:
    if len(value) > MAX_TAG_VALUE:
        return f"A tag's value has at most {MAX_TAG_VALUE} characters."
    return None


@documented(minLength=1, maxLength=MAX_KEY, pattern=r"^[^\x00-\x1f\x7f]*$")
def idempotency_key(key: str) -> str | None:
    if not (1 <= len(key) <= MAX_KEY and key.isprintable()):
        return f"Must be 1 to {MAX_KEY} printable characters."
    return None


def environment_size(variables: Mapping[str, str]) -> None:
    size = sum(len(name.encode()) + len(value.encode()) + 2 for name, value in variables.items())
    if size > MAX_ENVIRONMENT_BYTES:
        raise ValidationError(f"Takes {size} bytes in all; at most {MAX_ENVIRONMENT_BYTES}.")


def tags_size(tags: Mapping[str, str]) -> None:
    size = len(json.dumps(tags))
    if size > MAX_TAGS_BYTES:
        raise ValidationError(f"Takes {size} bytes as JSON; at most {MAX_TAGS_BYTES}.")


class Script(fields.String):
    """Base64 as JSON has it, or the bytes of a form's part; the script's bytes once loaded."""

    def _deserialize(
        self, value: Any, attr: str | None, data: Mapping[str, Any] | None, **kwargs: Any
    ) -> Any:
        limits = getattr(self.root, "limits", None) or SubmissionLimits()
        if isinstance(value, bytes):
            return check_script(value, limits.max_script_bytes)
        content = super()._deserialize(value, attr, data, **kwargs)
        return decode_script(content, limits.max_script_bytes)


class ResourcesAskedSchema(Schema):
    """What the job may use at most: less than what is configured for all."""

    memory_mb = WholeNumber(metadata={"description": "Memory, in MiB."})
    cpus = Number(metadata={"description": "CPUs' worth of time, such as 1.5."})

    class Meta:
        example = {"memory_mb": 4096, "cpus": 2}


def resources_within(limits: SubmissionLimits) -> Schema:
    """The schema of resources with what the configuration allows."""
    schema = ResourcesAskedSchema()
    bounds = (("memory_mb", LEAST_MEMORY_MB, limits.memory_mb), ("cpus", LEAST_CPUS, limits.cpus))
    for name, least, most in bounds:
        field = schema.fields[name]
        field.validators = [Range(least, most or LARGEST)]
    return schema


def _declared_in_domain() -> dict[str, fields.Field[Any]]:
    """The fields of a specification whose rules stand beside them."""
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
    """An upload as JSON; `to_submission` makes a Submission of what it loads."""

    def __init__(self, limits: SubmissionLimits | None = None, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.limits = limits = limits or SubmissionLimits()
        # this instance's own fields: what the configuration says is said of them in the document
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
        metadata={"description": "Seconds that the script may run; the default is configured."}
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
        metadata={"description": "Makes repeating the upload safe; also a header."},
    )
    resources = fields.Nested(
        ResourcesAskedSchema,
        load_default=dict,
        metadata={"description": "What the job may use at most; the default is configured."},
    )


def base64_size(size: int) -> int:
    """How many characters so many bytes have in base64."""
    return 4 * (-(-size // 3))


class ArchiveSubmissionSchema(SubmissionSchema):
    """An upload whose program comes as an archive."""

    class Meta:
        exclude = ("script_content",)

    entrypoint = fields.String(
        required=True,
        validate=[Length(1, MAX_ENTRYPOINT), as_validator(entrypoint)],
        metadata={"description": "The .py file to run.", "example": "src/train.py"},
    )


class UploadFormSchema(SubmissionSchema):
    """An upload as a form, for the documentation: its fields are judged by the other schemas."""

    class Meta:
        exclude = ("script_content",)
        example = {
            "script": "print('hello')",
            "experiment_name": "churn",
            "model_name": "churn",
            "requirements": ["scikit-learn"],
        }

    script_name = fields.String(
        metadata={"description": "Name of the script; by default that of the part's file."}
    )
    script = fields.String(metadata={"description": "The script, a .py file: this or archive."})
    archive = fields.String(
        metadata={
            "description": "A .zip or .tar.gz with the script and what it needs.",
            "format": "binary",
        }
    )
    entrypoint = fields.String(
        validate=[Length(1, MAX_ENTRYPOINT), as_validator(entrypoint)],
        metadata={"description": "With archive: its .py file to run.", "example": "src/train.py"},
    )


def decode_script(content: str, max_bytes: int) -> bytes:
    """The bytes of a script given in base64.

    Raises:
        ValidationError: it is not strict base64, or no script that `check_script` lets through.
    """
    # checked before decoding, so that nothing large is decoded in vain
    if len(content) > base64_size(max_bytes):
        raise ValidationError(f"The script is larger than {max_bytes} bytes.")
    try:
        script = binascii.a2b_base64(content, strict_mode=True)
    except ValueError as error:  # binascii.Error, and characters outside ASCII
        raise ValidationError(f"Is not base64: {error}.") from error
    # strict_mode lets through what Python's versions differ in: missing or excess bits
    if base64.b64encode(script) != content.encode():
        raise ValidationError("Is not base64: its padding is wrong.")
    return check_script(script, max_bytes)


def check_script(script: bytes, max_bytes: int) -> bytes:
    """The script as it is.

    Raises:
        ValidationError: it is too large, empty or not UTF-8.
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


def to_submission(loaded: Mapping[str, Any], *, owner: str) -> Submission:
    """The submission that loaded fields of SubmissionSchema describe."""
    spec = dict(loaded)
    script, key = spec.pop("script_content"), spec.pop("idempotency_key")
    return Submission(
        spec=_to_spec(spec, script_sha256=hashlib.sha256(script).hexdigest()),
        script=script,
        idempotency_key=key,
        owner=owner,
    )


def to_archive_submission(
    loaded: Mapping[str, Any], archive: UploadedArchive, *, owner: str
) -> Submission:
    """The submission that an archive and loaded fields of ArchiveSubmissionSchema describe."""
    spec = dict(loaded)
    key = spec.pop("idempotency_key")
    return Submission(
        spec=_to_spec(spec, script_sha256=archive.sha256),
        archive=archive,
        idempotency_key=key,
        owner=owner,
    )


def _to_spec(fields: dict[str, Any], script_sha256: str) -> JobSpec:
    fields |= fields.pop("resources")
    fields["requirements"] = tuple(fields["requirements"])
    return JobSpec(script_sha256=script_sha256, **fields)


SUBMISSION_SCHEMA = web.AppKey("submission_schema", SubmissionSchema)
ARCHIVE_SUBMISSION_SCHEMA = web.AppKey("archive_submission_schema", ArchiveSubmissionSchema)
