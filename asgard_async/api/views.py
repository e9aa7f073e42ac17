"""JSON documents of jobs, built from the declarations in schemas/."""

from collections.abc import Callable, Iterable, Sequence
from datetime import datetime
from operator import attrgetter
from typing import Any

from marshmallow import Schema, fields

from asgard_async.api.schemas.job_in_full import COMPUTED, HistoryEntrySchema, JobInFullSchema
from asgard_async.api.schemas.jobs import JobSchema
from asgard_async.domain.job import HistoryEntry, Job, seconds_per_phase

Document = dict[str, Any]
Getter = Callable[[Any], Any]


class View:
    """Builds documents from records, as a schema describes.

    Each field is compiled to one call. This is much faster than `schema.dump`, which matters for
    lists of jobs.

    Args:
        first: Names that come first in documents, in this order.
    """

    def __init__(self, schema: Schema, *, first: Iterable[str] = ()) -> None:
        names = dict.fromkeys([*first, *schema.fields])
        self._getters = tuple((name, _getter(schema.fields[name])) for name in names)

    def __call__(self, record: object) -> Document:
        return {name: get(record) for name, get in self._getters}


def _getter(field: fields.Field[Any]) -> Getter:
    source: str = field.metadata.get("source", field.name)
    convert = _conversion(field)
    if not source:  # the record itself
        assert convert is not None  # noqa: S101  # only nested objects have this source
        return convert
    owner, _, name = source.rpartition(".")
    if owner and field.allow_none:
        get = _optional(attrgetter(owner), attrgetter(name))
    else:
        get = attrgetter(source)
    return get if convert is None else _converted(get, convert)


def _conversion(field: fields.Field[Any]) -> Getter | None:
    if isinstance(field, fields.Nested):
        return View(field.schema)
    if isinstance(field, fields.List) and isinstance(field.inner, fields.Nested):
        view = View(field.inner.schema)
        return lambda records: [view(record) for record in records]
    return field.metadata.get("convert")


def _optional(owner_of: Getter, value_of: Getter) -> Getter:
    def get(record: object) -> Any:
        owner = owner_of(record)
        return None if owner is None else value_of(owner)

    return get


def _converted(get: Getter, convert: Getter) -> Getter:
    def get_converted(record: object) -> Any:
        value = get(record)
        return None if value is None else convert(value)

    return get_converted


view_job: Callable[[Job], Document] = View(JobSchema())
"""Builds the short form of a job, for lists and actions."""
_view_details = View(
    JobInFullSchema(exclude=COMPUTED),
    first=JobSchema().fields,
)
_view_entry = View(HistoryEntrySchema())


def view_job_in_full(
    job: Job,
    *,
    history: Sequence[HistoryEntry],
    queue_position: int | None,
    is_own: bool,
    run_url: str | None,
    log_kept: bool,
    at: datetime,
) -> Document:
    """Return the document of a job with all its details except its log.

    Unless the job `is_own`, the values of its environment variables are left out.
    """
    variables = job.spec.environment_vars
    return _view_details(job) | {
        "environment_vars": dict(variables) if is_own else dict.fromkeys(variables),
        "run_url": run_url,
        "log_kept": log_kept,
        "timings": seconds_per_phase(history, at) if history else {},
        "queue_position": queue_position,
        "history": [_view_entry(entry) for entry in history],
    }
