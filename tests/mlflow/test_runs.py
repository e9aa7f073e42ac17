"""The choice of a job's run, and the final status of runs left open."""

from datetime import UTC, datetime, timedelta

import pytest

from asgard_async.domain.job import JobRun
from asgard_async.domain.status import Reason
from asgard_async.mlflow.runs import final_status, job_run

NOON = datetime(2026, 1, 1, 12, tzinfo=UTC)


def run(
    run_id: str, ended: int | None, *, parent: str | None = None, status: str = "FINISHED"
) -> JobRun:
    return JobRun(
        run_id=run_id,
        experiment_id="1",
        name=None,
        status=status,
        started_at=NOON,
        ended_at=None if ended is None else NOON + timedelta(seconds=ended),
        parent_run_id=parent,
    )


def chosen(*runs: JobRun) -> str | None:
    found = job_run(runs, left_open_since=NOON + timedelta(seconds=60))
    return found.run_id if found else None


def test_the_run_that_ended_last_is_the_jobs_run() -> None:
    assert chosen(run("a", 1), run("b", 3, status="FAILED"), run("c", 2)) == "b"


def test_the_top_level_run_wins_a_tie() -> None:
    assert chosen(run("z", 5, parent="a"), run("a", 5), run("y", 5, parent="a")) == "a"


def test_a_top_level_run_wins_over_a_later_nested_one() -> None:
    assert chosen(run("a", 5), run("b", 6, parent="a")) == "a"


def test_a_run_nested_in_a_foreign_one_is_top_level() -> None:
    assert chosen(run("a", 5), run("b", 6, parent="foreign")) == "b"


@pytest.mark.parametrize("left_open", [run("b", None, status="RUNNING"), run("b", 60)])
def test_a_run_that_was_left_open_yields_to_another(left_open: JobRun) -> None:
    """It may already have been ended with the job, which took 60 seconds."""
    assert chosen(run("a", 5), left_open) == "a"
    assert chosen(run("a", 5, parent="b"), left_open) == "b"


def test_without_runs_there_is_no_run() -> None:
    assert chosen() is None


@pytest.mark.parametrize("reason", Reason)
def test_an_open_run_is_ended_with_the_jobs_status(reason: Reason) -> None:
    expected = {Reason.SUCCEEDED: "FINISHED", Reason.EXIT_CODE: "FAILED"}.get(reason, "KILLED")
    assert final_status(reason) == expected
