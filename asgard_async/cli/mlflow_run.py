"""MLflow's data on a job's run: its metrics, and the link to its page."""

from typing import TYPE_CHECKING
from urllib.parse import quote, urlsplit

import aiohttp
import msgspec

if TYPE_CHECKING:
    from asgard_async.client import Job

TIMEOUT_SECONDS = 2.0


class Metric(msgspec.Struct):
    """The last value of a metric."""

    key: str
    value: float = 0.0


class _Data(msgspec.Struct):
    metrics: tuple[Metric, ...] = ()


class _Run(msgspec.Struct):
    data: _Data


class _Response(msgspec.Struct):
    run: _Run


def run_link(tracking_uri: str, job: "Job") -> str | None:
    """Return the URL of a job's run; None without a run, or if MLflow is not served over HTTP."""
    experiment = next((run.experiment_id for run in job.runs if run.run_id == job.run_id), None)
    if job.run_id is None or experiment is None or not _is_http(tracking_uri):
        return None
    page = f"#/experiments/{quote(experiment, safe='')}/runs/{quote(job.run_id, safe='')}"
    return f"{tracking_uri.rstrip('/')}/{page}"


async def metrics_of(tracking_uri: str, run_id: str) -> dict[str, float]:
    """Return the metrics of a run; empty if MLflow cannot be reached from here."""
    if not _is_http(tracking_uri):
        return {}
    try:
        async with (
            aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(TIMEOUT_SECONDS)) as session,
            session.get(
                f"{tracking_uri.rstrip('/')}/api/2.0/mlflow/runs/get", params={"run_id": run_id}
            ) as response,
        ):
            content = msgspec.json.decode(await response.read(), type=_Response, strict=False)
    except (aiohttp.ClientError, TimeoutError, OSError, ValueError):
        # the summary is still useful without metrics
        return {}
    return {metric.key: metric.value for metric in content.run.data.metrics}


def _is_http(tracking_uri: str) -> bool:
    return urlsplit(tracking_uri).scheme in {"http", "https"}
