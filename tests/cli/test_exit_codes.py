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


FROM_THE_SCRIPT = {(3, None): 3, (None, "SIGTERM"): 143, (None, None): 125}
"""Exit codes for reasons without an entry, by the exit code and the signal of the script."""
OTHER_REASONS = {*Reason} - {reason for reason, _, _ in CODES} | {"reason_of_a_newer_service"}


def finished_job(reason: str, exit_code: int | None, signal: str | None) -> Job:
    status = Reason(reason).status if reason in {*Reason} else Status.FAILED
    return Job(
        job_id="3f9c01ab",
        script_name="train.py",
        experiment_name="e",
        model_name="m",
        status=Status(status),
        created_at=datetime.now(UTC),
        reason=reason,
        exit_code=exit_code,
        signal=signal,
    )


@pytest.mark.parametrize(("end", "code"), CODES.items(), ids=str)
def test_end_reasons_have_their_exit_codes(
    end: tuple[str, int | None, str | None], code: int
) -> None:
    assert exit_code_of(finished_job(*end)) == code


@pytest.mark.parametrize("reason", sorted(OTHER_REASONS))
@pytest.mark.parametrize(("end", "code"), FROM_THE_SCRIPT.items(), ids=str)
def test_other_reasons_have_the_exit_code_of_the_script(
    reason: str, end: tuple[int | None, str | None], code: int
) -> None:
    assert exit_code_of(finished_job(reason, *end)) == code
