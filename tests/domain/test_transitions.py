"""The table of a job's moves."""

import pytest

from asgard_async.domain.status import FINISHED, Phase, Reason, Status
from asgard_async.domain.transitions import TRANSITIONS, TransitionRefused, sources_of, status_in


def reachable_from(phase: Phase) -> set[Phase]:
    found: set[Phase] = set()
    ahead = [phase]
    while ahead:
        for target in TRANSITIONS[ahead.pop()] - found:
            found.add(target)
            ahead.append(target)
    return found


def test_the_table_covers_every_phase() -> None:
    assert set(TRANSITIONS) == set(Phase)


def test_every_phase_is_reachable_from_queued() -> None:
    assert reachable_from(Phase.QUEUED) == set(Phase)


@pytest.mark.parametrize("phase", [phase for phase in Phase if phase is not Phase.FINISHED])
def test_every_job_can_end(phase: Phase) -> None:
    assert Phase.FINISHED in reachable_from(phase)


def test_a_finished_phase_has_no_successor() -> None:
    assert TRANSITIONS[Phase.FINISHED] == frozenset()


@pytest.mark.parametrize("phase", Phase)
def test_no_phase_leads_to_itself(phase: Phase) -> None:
    assert phase not in TRANSITIONS[phase]


def test_the_table_is_as_documented() -> None:
    """Each allowed move is listed here again, so that none is added or lost by accident."""
    moves = {f"{source} {target}" for source in TRANSITIONS for target in TRANSITIONS[source]}
    assert moves == {
        "queued environment",
        "queued starting",
        "queued finished",
        "environment starting",
        "environment queued",
        "environment finished",
        "starting running",
        "starting stopping",
        "starting recording",
        "starting queued",
        "starting finished",
        "running stopping",
        "running recording",
        "running queued",
        "stopping recording",
        "stopping finished",
        "recording finished",
    }


def test_a_job_with_an_outcome_never_runs_again() -> None:
    """From RECORDING on there is no way back: the script has run, and must not run twice."""
    assert reachable_from(Phase.RECORDING) == {Phase.FINISHED}


def test_a_stopping_job_is_not_restarted() -> None:
    assert not reachable_from(Phase.STOPPING) & {Phase.QUEUED, Phase.STARTING, Phase.RUNNING}


@pytest.mark.parametrize("target", Phase)
def test_sources_invert_the_table(target: Phase) -> None:
    assert sources_of(target) == {source for source in Phase if target in TRANSITIONS[source]}


@pytest.mark.parametrize(
    ("phase", "status"),
    [
        (Phase.QUEUED, Status.QUEUED),
        (Phase.ENVIRONMENT, Status.RUNNING),
        (Phase.STARTING, Status.RUNNING),
        (Phase.RUNNING, Status.RUNNING),
        (Phase.STOPPING, Status.RUNNING),
        (Phase.RECORDING, Status.RUNNING),
    ],
)
def test_the_status_follows_from_the_phase(phase: Phase, status: Status) -> None:
    assert status_in(phase) is status
    # a reason already known while MLflow is asked does not make the job final
    assert status_in(phase, Reason.SUCCEEDED) is status


@pytest.mark.parametrize("reason", Reason)
def test_the_final_status_follows_from_the_reason(reason: Reason) -> None:
    special = {Reason.SUCCEEDED: Status.COMPLETED, Reason.CANCELLED: Status.CANCELLED}
    status = status_in(Phase.FINISHED, reason)
    assert status is special.get(reason, Status.FAILED)
    assert status.is_finished


def test_every_reason_leads_to_a_finished_status() -> None:
    assert {reason.status for reason in Reason} == FINISHED


def test_a_finished_job_needs_a_reason() -> None:
    with pytest.raises(ValueError, match="a finished job needs a reason"):
        status_in(Phase.FINISHED)


def test_only_queued_and_running_are_open() -> None:
    assert {status for status in Status if not status.is_finished} == {
        Status.QUEUED,
        Status.RUNNING,
    }


def test_names_match_the_contract() -> None:
    assert list(Status) == ["queued", "running", "completed", "failed", "cancelled"]
    assert list(Phase) == [
        "queued",
        "environment",
        "starting",
        "running",
        "stopping",
        "recording",
        "finished",
    ]
    # values may be added, but not removed
    assert set(Reason) >= {
        "succeeded",
        "exit_code",
        "signal",
        "timeout",
        "out_of_memory",
        "environment_failed",
        "start_failed",
        "cancelled",
        "lost",
    }


def test_a_rejected_transition_names_both_phases() -> None:
    refused = TransitionRefused("0badcafe", Phase.FINISHED, Phase.RUNNING)
    assert str(refused) == "job 0badcafe cannot move to phase running: it is in phase finished"
