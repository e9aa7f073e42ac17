"""Choice of the hint for a failed job."""

import re
from functools import cache

from asgard_async.jobs.hints.facts import facts_about
from asgard_async.jobs.hints.failed_job import FailedJob
from asgard_async.jobs.hints.quoting import shown
from asgard_async.jobs.hints.row import Row
from asgard_async.jobs.hints.table import ROWS

END_OF_OUTPUT = 4000
"""Characters of the output in which programs say why they end."""


def hint_for(job: FailedJob) -> str | None:
    """Return advice on a failure that is well known, or None."""
    applied = _applied(job)
    return applied[1] or None if applied is not None else None


def row_for(job: FailedJob) -> Row | None:
    """Return the first row that applies to the job, or None."""
    applied = _applied(job)
    return applied[0] if applied is not None else None


def _applied(job: FailedJob) -> tuple[Row, str] | None:
    """Return the first row that applies, and its text for the job.

    A script may print anything, so quoted text is short and has only harmless characters.
    """
    for row in ROWS:
        groups = _found(row, job)
        if groups is None:
            continue
        facts = facts_about(job, groups)
        if facts.names.issuperset(row.when) and facts.names.isdisjoint(row.unless):
            quoted = {name: shown(text) for name, text in groups.items()}
            return row, row.text.format_map({**quoted, **facts.values})
    return None


def _found(row: Row, job: FailedJob) -> dict[str, str] | None:
    """Return the groups of the row's patterns, or None if one of them is not found."""
    groups: dict[str, str] = {}
    for pattern, text in (
        (row.exception, job.exception or ""),
        (row.traceback, job.traceback),
        (row.output, job.output[-END_OF_OUTPUT:]),
        (row.build, job.build_error),
    ):
        if pattern:
            match = _compiled(pattern).search(text)
            if match is None:
                return None
            groups |= {name: text for name, text in match.groupdict().items() if text}
    return groups


@cache
def _compiled(pattern: str) -> re.Pattern[str]:
    return re.compile(pattern, re.MULTILINE)
