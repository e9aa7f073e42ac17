"""/metrics: figures that Prometheus can read, of a bounded number."""

from prometheus_client.parser import text_string_to_metric_families

from asgard_async.config.component import CONFIG
from tests.store.conftest import accept
from tests.support.api_service import finished, store_of, submit
from tests.support.served import Client

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


async def test_jobs_and_mlflow(api: Client) -> None:
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


async def test_requests_are_counted_by_route_and_never_by_path(api: Client) -> None:
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


async def test_ends_and_phases(api: Client) -> None:
    done = await submit(api)
    await finished(api, done["job_id"])
    failed = await submit(api, "raise SystemExit(3)")
    await finished(api, failed["job_id"])
    # accepted behind the dispatcher's back, it waits, and is cancelled in the queue
    waiting = await accept(store_of(api))
    found = await samples(api)
    assert sample(found, "asgard_jobs_in_phase", phase="queued") == 1
    assert sample(found, "asgard_jobs_in_phase", phase="running") == 0
    for _ in range(2):  # one that has ended stays as it is, and is counted once
        await api.post(f"/mlops/training/jobs/{waiting.job_id}/cancel")
    found = await samples(api)
    for reason in ("succeeded", "exit_code", "cancelled"):
        assert sample(found, "asgard_jobs_ended_total", reason=reason) == 1
    assert sample(found, "asgard_job_run_seconds_count", reason="exit_code") == 1
    waits = [value for (name, _), value in found.items() if name == "asgard_job_wait_seconds_count"]
    assert sum(waits) == 2  # the third never started
    assert sample(found, "asgard_disk_free_bytes") > sample(found, "asgard_disk_floor_bytes")
