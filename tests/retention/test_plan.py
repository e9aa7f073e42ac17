"""The plan by age and by size: oldest first, and nothing within the limits."""

import dataclasses
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from asgard_async.config import RetentionConfig
from asgard_async.retention.plan import (
    FILES,
    Bounds,
    Kind,
    Removal,
    StoredDirectory,
    StoredJob,
    plan,
)

AT = datetime(2026, 6, 1, tzinfo=UTC)
MIB = 1 << 20
KEEP_ALL = RetentionConfig(
    directories_days=0,
    logs_days=0,
    archives_days=0,
    jobs_days=0,
    environments_days=0,
    caches_days=0,
    max_caches_mb=0,
    max_files_mb=0,
    check_hours=1,
)


def kept(
    job_id: str, *, days: float, mib: tuple[int, int, int] = (1, 1, 1), is_recorded: bool = True
) -> StoredJob:
    sizes = {kind: size * MIB for kind, size in zip(FILES, mib, strict=True)}
    return StoredJob(
        job_id=job_id,
        ended_at=AT - timedelta(days=days),
        is_recorded=is_recorded,
        archive="a.zip",
        bytes_of=sizes,
    )


def removal(*jobs: StoredJob, **config: Any) -> list[tuple[Kind, str]]:
    found = plan(jobs, {}, dataclasses.replace(KEEP_ALL, **config), bounds={}, at=AT)
    return [(one.kind, one.name) for one in found]


def test_nothing_is_removed_by_default() -> None:
    assert removal(kept("a", days=10_000)) == []


@pytest.mark.parametrize(
    ("key", "kind"),
    [
        ("directories_days", Kind.DIRECTORY),
        ("logs_days", Kind.LOG),
        ("archives_days", Kind.ARCHIVE),
        ("jobs_days", Kind.JOB),
    ],
)
def test_each_kind_is_removed_by_age(key: str, kind: Kind) -> None:
    old, young = kept("old", days=7.1), kept("young", days=6.9)
    assert removal(young, old, **{key: 7}) == [(kind, "old")]


@pytest.mark.parametrize("days", [1_000_000, 1_000_000_000])
def test_an_age_beyond_the_calendar_keeps_everything(days: float) -> None:
    assert removal(kept("old", days=10_000), jobs_days=days, directories_days=days) == []


def test_a_job_with_pending_tracking_stays_a_week_longer() -> None:
    assert removal(kept("a", days=13.9, is_recorded=False), jobs_days=7) == []
    assert removal(kept("a", days=14.1, is_recorded=False), jobs_days=7) == [(Kind.JOB, "a")]


def test_the_files_of_a_removed_job_are_removed_once() -> None:
    (one,) = plan(
        [kept("old", days=8, mib=(1, 2, 3))],
        {},
        dataclasses.replace(KEEP_ALL, jobs_days=7, directories_days=1, max_files_mb=1),
        bounds={},
        at=AT,
    )
    assert (one.kind, one.size_bytes, one.archive) == (Kind.JOB, 6 * MIB, "a.zip")


def test_by_size_old_directories_are_removed_before_logs() -> None:
    jobs = [kept("new", days=1, mib=(4, 4, 0)), kept("old", days=2, mib=(4, 4, 0))]
    assert removal(*jobs, max_files_mb=16) == []
    assert removal(*jobs, max_files_mb=12) == [(Kind.DIRECTORY, "old")]
    assert removal(*jobs, max_files_mb=5) == [
        (Kind.DIRECTORY, "old"),
        (Kind.DIRECTORY, "new"),
        (Kind.LOG, "old"),
    ]


@pytest.mark.parametrize("kind", [Kind.ENVIRONMENT, Kind.CACHE])
def test_shared_files_are_removed_by_last_use_and_size(kind: Kind) -> None:
    leased = [
        StoredDirectory(
            name=name,
            last_used_at=AT - timedelta(days=days),
            size_bytes=10 * MIB,
            is_in_use=name == "in use",
        )
        for name, days in (("b", 20), ("a", 90), ("in use", 99), ("c", 1))
    ]

    def gone(days: float, mib: int | None) -> list[str]:
        bounds = {kind: Bounds(days=days, max_bytes=None if mib is None else mib * MIB)}
        found = plan([], {kind: leased}, KEEP_ALL, bounds=bounds, at=AT)
        assert {one.kind for one in found} <= {kind}
        return [one.name for one in found]

    assert gone(0, None) == []
    assert gone(0, 40) == []
    assert gone(60, None) == ["a"]
    assert gone(60, 40) == ["a"]
    assert gone(60, 30) == ["a"]
    assert gone(0, 20) == ["a", "b"]
    assert gone(0, 0) == ["a", "b", "c"]


job_lists = st.lists(
    st.builds(
        lambda number, days, mib: kept(f"{number:08x}", days=days, mib=mib),
        st.integers(0, 2**32 - 1),
        st.floats(0, 100),
        st.tuples(st.integers(0, 9), st.integers(0, 9), st.integers(0, 9)),
    ),
    unique_by=lambda job: job.job_id,
    max_size=20,
)


@given(jobs=job_lists, limit=st.integers(1, 100))
def test_only_as_much_is_removed_as_needed(jobs: list[StoredJob], limit: int) -> None:
    config = dataclasses.replace(KEEP_ALL, max_files_mb=limit)
    found: list[Removal] = plan(jobs, {}, config, bounds={}, at=AT)
    total = sum(sum(job.bytes_of.values()) for job in jobs)
    left = total - sum(one.size_bytes for one in found)
    assert left <= limit * MIB
    assert len({(one.kind, one.name) for one in found}) == len(found)
    if found:
        assert left + found[-1].size_bytes > limit * MIB
