"""The transition table of jobs. The store repeats it as a guard in SQL; both must allow a move."""

from collections.abc import Mapping

from asgard_async.domain.status import Phase, Reason, Status

TRANSITIONS: Mapping[Phase, frozenset[Phase]] = {
    Phase.QUEUED: frozenset({Phase.ENVIRONMENT, Phase.STARTING, Phase.FINISHED}),
    # back to the queue: the service exited before anything was started
    Phase.ENVIRONMENT: frozenset({Phase.STARTING, Phase.QUEUED, Phase.FINISHED}),
    Phase.STARTING: frozenset(
        {Phase.RUNNING, Phase.STOPPING, Phase.RECORDING, Phase.QUEUED, Phase.FINISHED}
    ),
    # back to the queue: the job was lost and [jobs] requeue_lost is set
    Phase.RUNNING: frozenset({Phase.STOPPING, Phase.RECORDING, Phase.QUEUED}),
    Phase.STOPPING: frozenset({Phase.RECORDING, Phase.FINISHED}),
    Phase.RECORDING: frozenset({Phase.FINISHED}),
    Phase.FINISHED: frozenset(),
}


class TransitionRefused(Exception):
    """The table does not allow the transition, or the job has left the expected phase."""

    def __init__(self, job_id: str, source: Phase, target: Phase) -> None:
        super().__init__(f"job {job_id} cannot move to phase {target}: it is in phase {source}")
        self.source = source
        """The job's phase."""


def sources_of(target: Phase) -> frozenset[Phase]:
    """Return the phases from which a job may enter `target`."""
    return frozenset(source for source, targets in TRANSITIONS.items() if target in targets)


def status_in(phase: Phase, reason: Reason | None = None) -> Status:
    """The status of a job in `phase`.

    Raises:
        ValueError: The phase is FINISHED and `reason` is None.
    """
    if phase is Phase.QUEUED:
        return Status.QUEUED
    if phase is Phase.FINISHED:
        if reason is None:
            raise ValueError("a finished job needs a reason")
        return reason.status
    return Status.RUNNING
