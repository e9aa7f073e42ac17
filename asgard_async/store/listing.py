"""Pages of jobs: filters, cursors, and the statement that reads a page from an index."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from asgard_async.core.timestamps import rfc3339
from asgard_async.domain.status import Status
from asgard_async.store.filterable import ARGUMENT, PARAMETER, VARIABLE


@dataclass(frozen=True, kw_only=True)
class JobFilter:
    """Filters of the job list; None matches any job."""

    status: Status | None = None
    experiment_name: str | None = None
    model_name: str | None = None
    tag: tuple[str, str] | None = None
    arg: str | None = None
    """One of the command-line arguments."""
    param: tuple[str, str] | None = None
    """The name and value of a parameter, as text."""
    environment_var: str | None = None
    """The name of an environment variable."""
    created_after: datetime | None = None
    owner: str | None = None
    """The name of a token; empty for jobs submitted without one."""
    mine: str | None = None
    """The name of the client's own token."""
    visible_owner: str | None = None
    """The only owner whose jobs the client may see; see `Requester`."""

    @property
    def tags(self) -> Sequence[tuple[str, str]]:
        """The rows that a job must have in `job_tags`."""
        required = []
        if self.tag is not None:
            required.append(self.tag)
        if self.arg is not None:
            required.append((ARGUMENT, self.arg))
        if self.param is not None:
            name, value = self.param
            required.append((PARAMETER + name, value))
        if self.environment_var is not None:
            required.append((VARIABLE, self.environment_var))
        return required


@dataclass(frozen=True, kw_only=True)
class Cursor:
    """The last job of a page; the next page continues with older ones."""

    created_at: datetime
    seq: int


def list_statement(only: JobFilter, after: Cursor | None, limit: int) -> tuple[str, dict[str, Any]]:
    """The statement and its parameters for at most `limit` jobs after the cursor."""
    # Each filter has an index that ends in created_at, so a page is read from it in order at the
    # same cost for any number of jobs. With a tag, its index leads and jobs follow by rowid;
    # further tags are looked up in the same index.
    source, age, seq = "jobs", "jobs.created_at", "jobs.seq"
    conditions, parameters = ["TRUE"], dict[str, Any](limit=limit)
    for number, (key, value) in enumerate(only.tags):
        parameters[f"key_{number}"], parameters[f"value_{number}"] = key, value
        if number == 0:
            source = "job_tags CROSS JOIN jobs ON jobs.seq = job_tags.job_seq"
            age, seq = "job_tags.created_at", "job_tags.job_seq"
            conditions.append("job_tags.key = :key_0 AND job_tags.value = :value_0")
        else:
            conditions.append(
                f"EXISTS (SELECT 1 FROM job_tags AS other WHERE other.key = :key_{number}"  # noqa: S608  # a number
                f" AND other.value = :value_{number} AND other.created_at = jobs.created_at"
                " AND other.job_seq = jobs.seq)"
            )
    for column in ("status", "experiment_name", "model_name"):
        if (value := getattr(only, column)) is not None:
            conditions.append(f"jobs.{column} = :{column}")
            parameters[column] = value
    for name in ("owner", "mine", "visible_owner"):
        if (value := getattr(only, name)) is not None:
            conditions.append(f"jobs.submitted_by = :{name}")
            parameters[name] = value
    if only.created_after is not None:
        conditions.append(f"{age} > :created_after")
        parameters["created_after"] = rfc3339(only.created_after)
    if after is not None:
        conditions.append(f"({age}, {seq}) < (:after_created_at, :after_seq)")
        parameters["after_created_at"] = rfc3339(after.created_at)
        parameters["after_seq"] = after.seq
    sql = (
        f"SELECT jobs.* FROM {source} WHERE {' AND '.join(conditions)}"  # noqa: S608  # fixed words
        f" ORDER BY {age} DESC, {seq} DESC LIMIT :limit"
    )
    return sql, parameters
