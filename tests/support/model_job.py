"""A job that logs and loads a model, and checks of what others can see of it."""

import json
from pathlib import Path

from tests.support.eventually import eventually
from tests.support.service import Service

LOGS_A_MODEL = """
import os, sys, time
print("variables:", " ".join(sorted(os.environ)), flush=True)
while not os.path.exists({go!r}):
    time.sleep(0.02)
import mlflow
from importlib.metadata import version
from sklearn.linear_model import LogisticRegression
model = LogisticRegression().fit([[0.0], [1.0], [2.0], [3.0]], [0, 0, 1, 1])
with mlflow.start_run():
    logged = mlflow.sklearn.log_model(
        model, name="model", pip_requirements=["scikit-learn==" + version("scikit-learn")]
    )
print("loaded, it says", mlflow.sklearn.load_model(logged.model_uri).predict([[3.0]])[0])
"""
"""Waits for the file `go` before it uses MLflow."""

PUBLIC_PATHS = ("/mlops/status", "/openapi.json", "/health/ready", "/metrics", "/mlops/models")


def processes_with(secret: str) -> tuple[list[str], list[str]]:
    """The command lines of processes with `secret` in their arguments, and in their environment."""
    in_arguments, in_environment = [], []
    for entry in Path("/proc").glob("[0-9]*"):
        try:
            arguments = (entry / "cmdline").read_bytes()
            environment = (entry / "environ").read_bytes()
        except OSError:
            continue
        line = arguments.replace(b"\0", b" ").decode(errors="replace")
        if secret.encode() in arguments:
            in_arguments.append(line)
        if secret.encode() in environment:
            in_environment.append(line)
    return in_arguments, in_environment


async def all_output(service: Service, *job_ids: str) -> str:
    """All output of the service, to clients and in logs."""
    texts = [service.log.read_text()]
    texts += [json.dumps((await service.get(path))[1]) for path in PUBLIC_PATHS]
    texts += [json.dumps(await service.job(job_id, logs="full")) for job_id in job_ids]
    return "\n".join(texts)


async def warnings_of(service: Service) -> list[str]:
    """Warnings for the administrator."""
    _, ready = await service.get("/health/ready")
    warnings: list[str] = ready.get("warnings", [])
    return warnings


async def warned(service: Service, words: str) -> str:
    """Wait for a warning that contains `words`; return it."""

    async def look() -> str | None:
        return next((one for one in await warnings_of(service) if words in one), None)

    return await eventually(look, what=f"a warning about {words!r}")
