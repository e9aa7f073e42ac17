"""/metrics: metrics that Prometheus can read, with a bounded number of label values."""

from prometheus_client.parser import text_string_to_metric_families

from asgard_async.api.metrics.component import METRICS
from asgard_async.config.component import CONFIG
from asgard_async.retention.plan import Kind, Removal
from tests.store.conftest import accept
from tests.support.api_service import finished, store_of, submit
from tests.support.app_server import Client

Samples = dict[tuple[str, frozenset[tuple[str, str]]], float]


async def samples(client: Client) -> Samples:
    response = await client.get("/metrics")
    assert response.status == 200
    assert response.headers["Content-Type"].startswith("text/plain; version=")
    return {
        (sample.name, frozenset(sample.labels.items())): sample.value
        for family in text_string_to_metric_families(await response.text())
        for sample in family.samples
    }


def sample(found: Samples, name: str, **labels: str) -> float:
    return found[name, frozenset(labels.items())]


async def test_jobs_and_mlflow_have_metrics(api: Client) -> None:
    made = await submit(api)
    await finished(api, made["job_id"])
    await accept(store_of(api))
    found = await samples(api)
    assert sample(found, "asgard_jobs", status="completed") == 1
    assert sample(found, "asgard_jobs", status="failed") == 0
    assert sample(found, "asgard_queue_length") == 1
    assert sample(found, "asgard_jobs_running") == 0
    starts = [value for (name, _), value in found.items() if name == "asgard_job_starts_total"]
    assert starts == [1]
    assert sample(found, "asgard_warm_servers") >= sample(found, "asgard_warm_servers_ready")
    assert sample(found, "asgard_slots") == api.app[CONFIG].jobs.slots
    assert sample(found, "asgard_mlflow_up") == 0
    assert sample(found, "process_resident_memory_bytes") > 0


async def test_requests_are_counted_by_route_never_by_path(api: Client) -> None:
    for job_id in ("00000000", "11111111", "nonsense"):
        await api.get(f"/mlops/training/jobs/{job_id}")
    for path in ("/a", "/b", "/mlops/training/jobs/00000000/x"):
        await api.get(path)
    await api.request("PROPFIND", "/c")
    await api.put("/mlops/status")
    found = await samples(api)
    counted = "asgard_http_requests_total"
    route = "/mlops/training/jobs/{job_id}"
    assert sample(found, counted, method="GET", route=route, status="404") == 3
    assert sample(found, counted, method="GET", route="unmatched", status="404") == 3
    assert sample(found, counted, method="other", route="unmatched", status="404") == 1
    assert sample(found, counted, method="PUT", route="unmatched", status="405") == 1
    assert sample(found, "asgard_http_request_seconds_count", method="GET", route=route) == 3
    assert not any("00000000" in value for _, labels in found for _, value in labels)


async def test_end_reasons_and_phases_have_metrics(api: Client) -> None:
    done = await submit(api)
    await finished(api, done["job_id"])
    failed = await submit(api, "raise SystemExit(3)")
    await finished(api, failed["job_id"])
    # accepted without telling the dispatcher: it stays in the queue until it is cancelled
    waiting = await accept(store_of(api))
    found = await samples(api)
    assert sample(found, "asgard_jobs_in_phase", phase="queued") == 1
    assert sample(found, "asgard_jobs_in_phase", phase="running") == 0
    for _ in range(2):  # a finished job stays as it is and is counted once
        await api.post(f"/mlops/training/jobs/{waiting.job_id}/cancel")
    found = await samples(api)
    for reason in ("succeeded", "exit_code", "cancelled"):
        assert sample(found, "asgard_jobs_ended_total", reason=reason) == 1
    assert sample(found, "asgard_job_run_seconds_count", reason="exit_code") == 1
    waits = [value for (name, _), value in found.items() if name == "asgard_job_wait_seconds_count"]
    assert sum(waits) == 2  # the cancelled job never started
    assert sample(found, "asgard_disk_free_bytes") > sample(found, "asgard_disk_floor_bytes")


async def test_removals_count_under_the_former_names_too(api: Client) -> None:
    api.app[METRICS].count_removed(Removal(kind=Kind.LOG, name="3f9c01ab", size_bytes=7, why="old"))
    found = await samples(api)
    for name in ("asgard_retention_removed", "asgard_thrown_away"):
        assert sample(found, f"{name}_total", kind="log") == 1
        assert sample(found, f"{name}_bytes_total", kind="log") == 7


async def test_former_names_are_marked_as_deprecated(api: Client) -> None:
    text = await (await api.get("/metrics")).text()
    for suffix in ("", "_bytes"):
        new = f"asgard_retention_removed{suffix}_total"
        assert f"# HELP asgard_thrown_away{suffix}_total Deprecated: renamed to {new}." in text
