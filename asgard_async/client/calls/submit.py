"""Submitting a training."""

import os
import secrets
from collections.abc import Mapping, Sequence

from asgard_async.client.calls.connection import Connection
from asgard_async.client.jobs import Job
from asgard_async.client.submission import check_requirements, in_thread, upload_of


class SubmitCall(Connection):
    """POST /mlops/training/upload."""

    async def submit(
        self,
        script: str | os.PathLike[str] | None = None,
        *,
        experiment_name: str,
        model_name: str,
        source: str | bytes | None = None,
        requirements: Sequence[str] = (),
        environment_vars: Mapping[str, str] | None = None,
        timeout: int | None = None,  # noqa: ASYNC109  # the script's
        tags: Mapping[str, str] | None = None,
        priority: int = 0,
        idempotency_key: str | None = None,
        warm: bool = True,
        memory_mb: int | None = None,
        cpus: float | None = None,
        script_name: str | None = None,
        entrypoint: str | None = None,
    ) -> Job:
        """Submit a training. Once this returns, the job survives a crash of the service.

        Safe to retry after a lost connection: without an idempotency key, one is generated, so
        that a retry never creates a second job.

        Args:
            script: path of a .py file, of an archive (.zip, .tar.gz, .tgz) or of a directory.
                Of a directory what is hidden and virtual environments are not sent.
            experiment_name: MLflow experiment of its runs.
            model_name: under which its model is registered.
            source: text of a script, instead of a path.
            requirements: PEP 508, such as "xgboost>=2".
            environment_vars: for the script.
            timeout: seconds that the script may run; else what the service is configured for.
            tags: put on the job's MLflow runs.
            priority: -100 to 100; higher runs first.
            idempotency_key: the same key with the same submission is the same job.
            warm: False forces an interpreter of the job's own.
            memory_mb: memory that it may use, in MiB; less than what the service allows any job.
            cpus: CPUs' worth of time that it may use, such as 1.5; likewise.
            script_name: what the script is called; else the name of its file.
            entrypoint: with an archive or a directory: its .py file to run.

        Raises:
            InvalidRequest: `errors` says what is wrong with which field.
            QueueFull: too many jobs wait.
            Conflict: the idempotency key was used for something else.
            ValueError, TypeError, OSError: of `script` nothing can be sent.
        """
        fields: dict[str, object] = {
            "experiment_name": experiment_name,
            "model_name": model_name,
            "requirements": check_requirements(requirements),
            "environment_vars": dict(environment_vars or {}),
            "tags": dict(tags or {}),
            "priority": priority,
            "warm": warm,
        }
        if timeout is not None:
            fields["timeout"] = timeout
        asked = {"memory_mb": memory_mb, "cpus": cpus}
        if resources := {name: value for name, value in asked.items() if value is not None}:
            fields["resources"] = resources
        headers = {"Idempotency-Key": idempotency_key or secrets.token_hex(16)}
        upload = upload_of(
            script, source, script_name=script_name, entrypoint=entrypoint, fields=fields
        )
        async with in_thread(upload) as (body, content_type):
            if content_type is not None:
                headers["Content-Type"] = content_type
            response = await self._transport.request(
                "POST", ("mlops", "training", "upload"), headers=headers, body=body
            )
        return response.read(Job)
