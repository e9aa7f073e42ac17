"""The exit codes of `asgard run` for every outcome of a job."""

from datetime import UTC, datetime

import pytest

from asgard_async.cli.exit_codes import exit_code_of
from asgard_async.client import Job, Status
from asgard_async.domain.status import Reason

CODES = {
    ("succeeded", 0, None): 0,
    ("exit_code", 3, None): 3,
    ("exit_code", 255, None): 255,
    ("signal", None, "SIGKILL"): 137,
    ("signal", None, "SIGSEGV"): 139,
    ("signal", None, "SIGOFTHEFUTURE"): 128,
    ("timeout", None, "SIGTERM"): 124,
    ("timeout", 1, None): 124,
    ("out_of_memory", 1, None): 1,
    ("out_of_memory", None, "SIGKILL"): 137,
    ("environment_failed", 1, None): 125,
    ("start_failed", None, None): 125,
    ("cancelled", None, "SIGTERM"): 130,
    ("cancelled", None, None): 130,
    ("lost", None, None): 125,
}


@pytest.mark.parametrize(("end", "code"), CODES.items(), ids=str)
def test_each_end_reason_has_its_exit_code(
    end: tuple[str, int | None, str | None], code: int
) -> None:
    reason, exit_code, signal = end
    job = Job(
        job_id="3f9c01ab",
        script_name="train.py",
        experiment_name="e",
        model_name="m",
        status=Status(Reason(reason).status),
        created_at=datetime.now(UTC),
        reason=reason,
        exit_code=exit_code,
        signal=signal,
    )
    assert exit_code_of(job) == code


def test_every_end_reason_has_an_exit_code() -> None:
    assert {reason for reason, _, _ in CODES} == set(Reason)
