"""The difference between an empty log and one that is no longer stored."""

from asgard_async.domain.job import Job
from asgard_async.domain.status import Phase
from asgard_async.logs.reader import LogReader


async def is_log_kept(logs: LogReader, job: Job) -> bool:
    """Return whether a job's log is complete as far as the service knows.

    False if the job has finished and its script started, but there is no log: retention deleted it,
    or it was lost or not restored from a backup.
    """
    if job.phase is not Phase.FINISHED or job.started is None:
        return True
    return await logs.exists(job.job_id)
