"""How the service is."""

from asgard_async.client.calls.connection import Connection
from asgard_async.client.service import Readiness, Reasons, ServiceStatus


class ServiceCalls(Connection):
    """/mlops/status and /health/ready."""

    async def status(self) -> ServiceStatus:
        """How Asgard and its MLflow are."""
        return (await self._transport.get("mlops", "status")).read(ServiceStatus)

    async def ready(self) -> Readiness:
        """Whether jobs are taken, and if not, why."""
        answer = await self._transport.once("health", "ready")
        if answer.status == 503:
            return Readiness(ready=False, reasons=answer.read(Reasons).reasons)
        return Readiness(ready=answer.status == 200)
