"""The routes of the service."""

from aiohttp import web

from asgard_async.api import (
    health,
    instance,
    models,
    registry,
    status,
    training_actions,
    training_files,
    training_jobs,
    training_logs,
    training_logs_ws,
    training_script,
    training_upload,
)
from asgard_async.api.metrics import page as metrics_page
from asgard_async.api.openapi import page, swagger_ui

ROUTES = [
    web.post("/mlops/training/upload", training_upload.upload),
    web.get("/mlops/training/jobs", training_jobs.list_jobs),
    web.get("/mlops/training/jobs/{job_id}", training_jobs.get_job),
    web.delete("/mlops/training/jobs/{job_id}", training_jobs.delete_job),
    web.post("/mlops/training/jobs/{job_id}/cancel", training_actions.cancel),
    web.post("/mlops/training/jobs/{job_id}/retry", training_actions.retry),
    web.get("/mlops/training/jobs/{job_id}/script", training_script.get_script),
    web.get("/mlops/training/jobs/{job_id}/files", training_files.list_files),
    # any name, also with line ends
    web.get(r"/mlops/training/jobs/{job_id}/files/{path:[\s\S]*}", training_files.get_file),
    web.get("/mlops/training/jobs/{job_id}/logs", training_logs.get_logs),
    web.get("/mlops/training/jobs/{job_id}/logs/ws", training_logs_ws.stream_log),
    web.get("/mlops/models", models.get_models),
    web.get("/mlops/models/{name}", models.get_one_model),
    web.get("/mlops/models/{name}/versions", models.get_model_versions),
    web.post("/mlops/registry", registry.register),
    web.get("/mlops/status", status.get_status),
    web.get("/health/live", health.live),
    web.get("/health/ready", health.ready),
    web.get("/health/instance", instance.get_instance),
    web.get("/metrics", metrics_page.get_metrics),
    web.get("/openapi.json", page.get_document),
]
"""The routes of the API: exactly those in /openapi.json."""

PAGES = [
    web.get("/docs", swagger_ui.get_page),
    web.get("/docs/{file}", swagger_ui.get_file),
]
"""Pages for browsers."""
