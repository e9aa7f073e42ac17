"""The changes to a specification that a retry may ask for."""

import hashlib
from collections.abc import Iterator, Mapping
from dataclasses import fields as fields_of
from typing import Any

from marshmallow import ValidationError, missing

from asgard_async.api.http.parser import flatten
from asgard_async.api.schemas.submission import SubmissionSchema, entrypoint_field, to_spec
from asgard_async.domain.errors import InvalidSubmission
from asgard_async.domain.job import JobSpec
from asgard_async.domain.submission import Revision

PROGRAM = "script_content"
KEY = "idempotency_key"


class JobChangesSchema(SubmissionSchema):
    """Fields of an upload that a retry changes: a JSON merge patch (RFC 7396).

    Objects are merged by name, everything else is replaced, and null stands for the default.
    """

    class Meta:
        example = {"environment_vars": {"EPOCHS": "80"}, "timeout": 1200}

    entrypoint = entrypoint_field()

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        for field in self.fields.values():  # a missing field does not change
            field.required, field.load_default = False, missing


CHANGEABLE = frozenset(JobChangesSchema().fields)
"""The names of the fields that a retry may change."""


def revised(spec: JobSpec, changes: Mapping[str, Any], schema: SubmissionSchema) -> Revision:
    """Apply the changes to a specification. `schema` has the rules for the job's kind of upload.

    Raises:
        InvalidSubmission: the result is not a valid submission.
    """
    document = _merged(_document_of(spec, schema), changes)
    try:
        loaded: dict[str, Any] = schema.load(document, partial=(PROGRAM,))
    except ValidationError as error:
        raise InvalidSubmission(flatten(error.messages)) from error
    script, key = loaded.pop(PROGRAM, None), loaded.pop(KEY)
    digest = spec.script_sha256 if script is None else hashlib.sha256(script).hexdigest()
    new_spec = to_spec(loaded, script_sha256=digest)
    return Revision(
        spec=new_spec,
        script=script,
        changed=tuple(_differences(spec, new_spec)),
        idempotency_key=key,
    )


def _document_of(spec: JobSpec, schema: SubmissionSchema) -> dict[str, Any]:
    """Return the upload with this specification, without its program."""
    names = {field.name for field in fields_of(JobSpec)} & schema.fields.keys()
    document = {
        name: list(value) if isinstance(value, tuple) else value
        for name in names
        if (value := getattr(spec, name)) is not None
    }
    limits = {"memory_mb": spec.memory_mb, "cpus": spec.cpus}
    resources = {name: value for name, value in limits.items() if value is not None}
    return {**document, "resources": resources}


def _merged(document: Mapping[str, Any], changes: Mapping[str, Any]) -> dict[str, Any]:
    """Apply a JSON merge patch (RFC 7396)."""
    merged = dict(document)
    for name, value in changes.items():
        if value is None:
            merged.pop(name, None)
        elif isinstance(value, Mapping) and isinstance(earlier := merged.get(name), Mapping):
            merged[name] = _merged(earlier, value)
        else:
            merged[name] = value
    return merged


def _differences(old: JobSpec, new: JobSpec) -> Iterator[str]:
    for field in fields_of(JobSpec):
        before, after = getattr(old, field.name), getattr(new, field.name)
        if before == after:
            continue
        if isinstance(before, Mapping):
            for name in sorted({*before, *after}):
                if before.get(name, missing) != after.get(name, missing):
                    yield f"{field.name}.{name}"
        else:
            yield "script" if field.name == "script_sha256" else field.name
