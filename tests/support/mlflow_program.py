"""`mlflow server` in one process.

`python -m tests.support.mlflow_program server …`. The command would start uvicorn as a child
process, which imports MLflow again; that takes as long as everything else.
"""

import os
from collections.abc import Sequence
from typing import Any, NoReturn

import mlflow.cli
import mlflow.server
import uvicorn.main


def run_here(command: Sequence[str], *, extra_env: dict[str, str], **_: Any) -> NoReturn:
    """Run `python -m uvicorn …` in this process."""
    os.environ.update(extra_env)
    uvicorn.main.main(command[3:])
    raise SystemExit


if __name__ == "__main__":
    setattr(mlflow.server, "_exec_cmd", run_here)  # noqa: B010  # untyped, and private
    mlflow.cli.cli()
