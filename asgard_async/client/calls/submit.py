"""Submitting a training."""

import os
import secrets
from collections.abc import Mapping, Sequence

from asgard_async.client.calls.connection import Connection
from asgard_async.client.jobs import Job
from asgard_async.client.submission import in_thread, list_of_text, upload_of


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
        args: Sequence[str] = (),
        params: Mapping[str, bool | int | float | str] | None = None,
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

        Safe to retry after a lost connection: if no idempotency key is passed, the client
        generates one, so that a retry never creates a second job.

        Args:
            script: path of a .py file, a notebook (.ipynb), an archive (.zip, .tar.gz, .tgz)
                or a directory. Hidden files, virtual environments and what `.asgardignore` and
                `.gitignore` exclude are not sent; an `UploadWarning` names what you may miss.
            experiment_name: MLflow experiment for the runs.
            model_name: name under which the model is registered.
            source: text of a script, instead of a path.
            requirements: PEP 508 requirements, such as "xgboost>=2".
            environment_vars: environment variables for the script.
            args: command-line arguments of the script.
            params: parameters of the script: `--name=value` after `args`, and JSON in the variable
                ASGARD_PARAMS.
            timeout: time limit for the script in seconds; default: the service's.
            tags: tags for the MLflow runs.
            priority: -100 to 100; higher runs first.
            idempotency_key: submitting again with the same key returns the same job.
            warm: False starts the job in a new interpreter, without preloading.
            memory_mb: memory limit in MiB, below the service's own limit.
            cpus: CPU limit, such as 1.5, below the service's own limit.
            script_name: name of the script; default: its file name.
            entrypoint: the .py file or notebook to run in an archive or a directory.

        Raises:
            InvalidRequest: the submission is invalid; `errors` has the messages by field.
            QueueFull: the queue is full.
            Conflict: the idempotency key belongs to another submission.
            ValueError, TypeError, OSError: `script` or another argument is invalid.
        """
        fields: dict[str, object] = {
            "experiment_name": experiment_name,
            "model_name": model_name,
            "requirements": list_of_text("requirements", requirements),
            "environment_vars": dict(environment_vars or {}),
            "tags": dict(tags or {}),
            "priority": priority,
            "warm": warm,
        }
        if args:
            fields["args"] = list_of_text("args", args)
        if params:
            fields["params"] = dict(params)
        if timeout is not None:
            fields["timeout"] = timeout
        limits = {"memory_mb": memory_mb, "cpus": cpus}
        if resources := {name: value for name, value in limits.items() if value is not None}:
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
