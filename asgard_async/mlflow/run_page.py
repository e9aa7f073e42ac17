"""The page of a run in MLflow."""

from urllib.parse import quote, urlsplit

from asgard_async.domain.job import JobTracking


def run_page(tracking_uri: str, tracking: JobTracking) -> str | None:
    """Return the URL of a job's run; None without a run, or if MLflow is not served over HTTP."""
    run = tracking.run
    if run is None or urlsplit(tracking_uri).scheme not in {"http", "https"}:
        return None
    page = f"#/experiments/{quote(run.experiment_id, safe='')}/runs/{quote(run.run_id, safe='')}"
    return f"{tracking_uri.rstrip('/')}/{page}"
