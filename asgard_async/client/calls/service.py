"""The service's status and readiness."""

from asgard_async.client.calls.connection import Connection
from asgard_async.client.service import Readiness, Reasons, ServiceStatus


class ServiceCalls(Connection):
    """/mlops/status and /health/ready."""

    async def status(self) -> ServiceStatus:
        """Return the status of Asgard and MLflow."""
        return (await self._transport.get("mlops", "status")).read(ServiceStatus)

    async def ready(self) -> Readiness:
        """Return whether the service accepts jobs, with the reasons if it does not."""
        response = await self._transport.get_once("health", "ready")
        if response.status == 503:
            return Readiness(ready=False, reasons=response.read(Reasons).reasons)
        return Readiness(ready=response.status == 200)
