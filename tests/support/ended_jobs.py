"""Ended jobs and the runs of their scripts, for tests of the reconciler."""

from collections.abc import Collection, Mapping
from datetime import UTC, datetime, timedelta

from asgard_async.domain.status import Reason
from asgard_async.mlflow.gateway import MlflowGateway
from asgard_async.mlflow.reconciler import Reconciliation, RunReconciler
from asgard_async.mlflow.runs import EndedJob
from tests.support.mlflow_user import MlflowUser, fresh_job_id

SERVER = "server-1"
START = datetime.now(UTC).replace(microsecond=0) - timedelta(minutes=30)


def after(seconds: float) -> datetime:
    return START + timedelta(seconds=seconds)


def ended_job(
    job_id: str,
    *,
    reason: Reason = Reason.SUCCEEDED,
    attempt: int = 1,
    model_name: str = "unused",
    tags: Mapping[str, str] | None = None,
    may_be_registered: bool = True,
    resumes: str | None = None,
    ended_at_exit: Collection[str] | None = None,
) -> EndedJob:
    return EndedJob(
        job_id=job_id,
        attempt=attempt,
        reason=reason,
        started_at=START,
        ended_at=after(60),
        model_name=model_name,
        tags=tags or {},
        may_be_registered=may_be_registered,
        resumes=resumes,
        ended_at_exit=ended_at_exit,
    )


class Script:
    """The script of one job: creates its runs."""

    def __init__(self, user: MlflowUser, experiment_id: str, job_id: str | None = None) -> None:
        self._user = user
        self.experiment_id = experiment_id
        self.job_id = job_id or fresh_job_id()

    async def run(
        self,
        ended: float | None = 30,
        *,
        attempt: int = 1,
        server: str = SERVER,
        status: str = "FINISHED",
        **tags: str,
    ) -> str:
        return await self._user.run(
            self.experiment_id,
            started_at=after(1),
            ended_at=None if ended is None else after(ended),
            status=status,
            asgard__job_id=self.job_id,
            asgard__attempt=str(attempt),
            asgard__server_id=server,
            **tags,
        )

    async def run_with_model(self) -> tuple[str, str]:
        run_id = await self.run()
        return run_id, await self._user.log_model(self.experiment_id, run_id)


async def reconcile_one(gateway: MlflowGateway, job: EndedJob) -> Reconciliation:
    return (await RunReconciler(gateway, server_id=SERVER).reconcile([job]))[job.job_id]
