"""Jobs as clients see them. The schemas in schemas/jobs.py describe exactly this."""

from collections.abc import Sequence
from datetime import datetime
from typing import Any

from asgard_async.core.redaction import without_secrets
from asgard_async.core.timestamps import rfc3339
from asgard_async.domain.job import HistoryEntry, Job, JobRun, seconds_per_phase

Document = dict[str, Any]


def _time(moment: datetime | None) -> str | None:
    return None if moment is None else rfc3339(moment)


def job_path(job_id: str) -> str:
    """Where a job is found."""
    return f"/mlops/training/jobs/{job_id}"


def view_job(job: Job) -> Document:
    """A job in lists and in answers to what is done with it."""
    end = job.final_outcome
    path = job_path(job.job_id)
    return {
        "job_id": job.job_id,
        "script_name": job.spec.script_name,
        "experiment_name": job.spec.experiment_name,
        "model_name": job.spec.model_name,
        "status": job.status,
        "phase": job.phase,
        "reason": end.reason if end else None,
        "created_at": rfc3339(job.created_at),
        "started_at": _time(job.started_at),
        "completed_at": _time(end.ended_at) if end else None,
        "run_id": job.tracking.run_id,
        "model_version": job.tracking.model_version,
        "error": end.error if end else None,
        "retry_of": job.retry_of,
        "links": {"self": path, "logs": f"{path}/logs", "stream": f"{path}/logs/ws"},
    }


def view_job_in_full(
    job: Job, *, history: Sequence[HistoryEntry], queue_position: int | None, at: datetime
) -> Document:
    """A job with all that is known of it, but for its log."""
    end = job.final_outcome
    return view_job(job) | {
        "exit_code": end.exit_code if end else None,
        "signal": end.signal if end else None,
        "duration_seconds": job.duration_seconds,
        "timings": seconds_per_phase(history, at) if history else {},
        "queue_position": queue_position,
        "runs": [_view_run(run) for run in job.tracking.runs],
        "entrypoint": job.spec.entrypoint,
        "requirements": [without_secrets(one) for one in job.spec.requirements],
        "tags": dict(job.spec.tags),
        "timeout": job.spec.timeout,
        "priority": job.spec.priority,
        "warm": job.spec.warm,
        "start": job.start,
        "cold_reason": job.started.cold_reason if job.started else None,
        "isolation": job.started.isolation if job.started else None,
        "resources": {
            "peak_memory_bytes": job.outcome.peak_memory_bytes if job.outcome else None,
            "cpu_seconds": job.outcome.cpu_seconds if job.outcome else None,
        },
        "limits": {"memory_mb": job.spec.memory_mb, "cpus": job.spec.cpus},
        "submitted_by": job.submitted_by or None,
        "history": [_view_entry(entry) for entry in history],
    }


def _view_run(run: JobRun) -> Document:
    return {
        "run_id": run.run_id,
        "experiment_id": run.experiment_id,
        "name": run.name,
        "status": run.status,
        "started_at": _time(run.started_at),
        "ended_at": _time(run.ended_at),
        "parent_run_id": run.parent_run_id,
    }


def _view_entry(entry: HistoryEntry) -> Document:
    return {
        "status": entry.status,
        "phase": entry.phase,
        "at": rfc3339(entry.at),
        "detail": entry.detail,
    }
