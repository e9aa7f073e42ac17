"""A model of the state machine's jobs and their permitted outcomes."""

from dataclasses import dataclass, field
from typing import Any

SCRIPT = """\
import os, signal, sys, time
{imports}
print("began", flush=True)
if {is_deaf}:
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
while {is_gated} and not os.path.exists("gate"):
    time.sleep(0.01)
print("ends", flush=True)
{end}
"""
"""Starts cold if it imports nothing that is preloaded."""

LOG = "began\nends\n"
PRELOADED = "idna"

End = tuple[str, str]
"""The expected status and reason."""

CANCELLED: End = ("cancelled", "cancelled")


@dataclass(frozen=True, kw_only=True)
class Kind:
    """A kind of job."""

    name: str
    end: End
    code: str = "pass"
    is_gated: bool = False
    """Runs until its gate is opened."""
    is_deaf: bool = False
    """Ignores SIGTERM."""
    imports: str = ""
    timeout: int = 300

    @property
    def script(self) -> str:
        return SCRIPT.format(
            imports=self.imports, is_deaf=self.is_deaf, is_gated=self.is_gated, end=self.code
        )


KINDS = (
    Kind(name="prints", end=("completed", "succeeded")),
    Kind(name="warm", end=("completed", "succeeded"), imports=f"import {PRELOADED}"),
    Kind(name="exits", end=("failed", "exit_code"), code="sys.exit(3)"),
    Kind(name="dies", end=("failed", "signal"), code="os.kill(os.getpid(), signal.SIGKILL)"),
    Kind(name="waits", end=("completed", "succeeded"), is_gated=True),
    Kind(
        name="waits warm",
        end=("completed", "succeeded"),
        is_gated=True,
        imports=f"import {PRELOADED}",
    ),
    Kind(
        name="waits deaf",
        end=("failed", "exit_code"),
        code="os._exit(4)",
        is_gated=True,
        is_deaf=True,
    ),
    Kind(name="overdue", end=("failed", "timeout"), code="time.sleep(600)", timeout=1),
)


@dataclass(kw_only=True)
class Expected:
    """A job in the model."""

    job_id: str
    kind: Kind
    priority: int
    key: str | None = None
    retry_of: str | None = None
    may_pass: bool = False
    """True if it has no gate, or its gate was opened."""
    was_cancelled: bool = False
    was_deleted: bool = False
    seen_end: dict[str, Any] = field(default_factory=dict)
    """The job when first seen finished; it must not change afterwards."""

    @property
    def is_held(self) -> bool:
        """True if it cannot end by itself."""
        return self.kind.is_gated and not self.may_pass

    @property
    def ends(self) -> set[End]:
        """The outcomes it may have by now."""
        natural = set() if self.is_held else {self.kind.end}
        return natural | ({CANCELLED} if self.was_cancelled else set())

    def check(self, job: dict[str, Any]) -> None:
        """Compare a job of the service with the model."""
        assert job["retry_of"] == self.retry_of, job
        if self.seen_end:
            changed = {name for name in job if job[name] != self.seen_end.get(name, job[name])}
            assert not changed, (changed, job, self.seen_end)
        if job["phase"] == "finished":
            assert (job["status"], job["reason"]) in self.ends, (job, self)
            self.seen_end = job
        else:
            assert job["reason"] is None, job
            assert job["completed_at"] is None, job
            assert job["status"] == ("queued" if job["phase"] == "queued" else "running"), job

    def check_in_full(self, job: dict[str, Any]) -> None:
        """Compare a finished job, its history and its log with the model."""
        phases = [entry["phase"] for entry in job["history"]]
        assert phases[0] == "queued", job
        assert phases.count("finished") == 1, job
        assert phases[-1] == "finished", job
        # a start interrupted by a crash of the service is repeated, but no script runs twice
        assert phases.count("running") <= 1, job
        log = job["logs"]
        assert LOG.startswith(log), job
        assert (log == "") or (job["started_at"] is not None), job
        if job["reason"] in {"succeeded", "exit_code", "signal", "timeout"}:
            assert log == LOG, job
        codes = {"succeeded": 0, "exit_code": 4 if self.kind.is_deaf else 3}
        if job["reason"] in codes:
            assert job["exit_code"] == codes[job["reason"]], job
        if job["reason"] == "signal":
            assert job["signal"] == "SIGKILL", job
