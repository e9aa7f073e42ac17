"""The MLflow server that Asgard runs itself when none is configured.

It runs under a shim like a job, so it outlives the service, which finds it again. Its socket is
opened before it is started and stays open while it is started again: who calls early waits.

    mlflow-server/server.json      the port that was chosen, and where artifacts go
    mlflow-server/attempts/<n>/    the latest start's lock, pid.json, exit.json
    mlflow-server/mlflow.log
    mlflow/mlflow.db        runs, experiments, the registry
    mlflow/artifacts/       models and files, unless [mlflow] artifacts_destination says otherwise
    mlflow/tmp/             its TMPDIR and HOME

It is shut in like a job: jobs tell it where to read and write, by the locations of their artifacts
and the links that they plant there. It reaches mlflow/ alone.
"""

import asyncio
import contextlib
import logging
import os
import socket
import sys
from collections.abc import Callable
from functools import partial
from pathlib import Path
from urllib.parse import unquote, urlsplit

import msgspec

from asgard_async.config import MlflowConfig
from asgard_async.core.files.locks import is_held
from asgard_async.core.files.remove_tree import remove_tree
from asgard_async.supervisor import shim
from asgard_async.supervisor.attempt import Attempt
from asgard_async.supervisor.attempts import AttemptSeries
from asgard_async.supervisor.process_spec import process_spec, service_python
from asgard_async.supervisor.restart import Backoff, Restart, run_with_restarts
from asgard_async.supervisor.sandbox.selector import IsolationSelector
from asgard_async.supervisor.sandbox.service_sandboxes import ServiceSandbox, mlflow_sandbox
from asgard_async.supervisor.shim.process_spec import ProcessSpec

logger = logging.getLogger(__name__)

HOST = "127.0.0.1"
ARTIFACTS_VARIABLE = "ASGARD_MLFLOW_ARTIFACTS"
"""Read by server_program.py."""
STOP_GRACE_SECONDS = 3.0
LEAVE_SECONDS = 2.0
BACKOFF = Backoff(first_seconds=1.0, longest_seconds=60.0, healthy_seconds=60.0)
PROGRAM = Path(__file__).parent / "server_program.py"
UNDERTAKER = Path(shim.__file__).parent / "undertaker.py"


class _Choice(msgspec.Struct):
    port: int
    configured: int
    artifacts_destination: str = ""


class EmbeddedServer:
    """Starts, adopts, restarts and stops the server. `starting` is called when it is started.

    `in_use` is the file that every running job's keeper holds a shared lock of; `service_lock` the
    one that a service holds for as long as it lives. `directory` is what the service knows of it,
    `store` what it has.
    """

    def __init__(
        self,
        *,
        config: MlflowConfig,
        directory: Path,
        store: Path,
        selector: IsolationSelector,
        in_use: Path,
        service_lock: Path,
    ) -> None:
        self._config = config
        self._directory = directory
        self._attempts = AttemptSeries(directory / "attempts")
        self._store = store
        self._selector = selector
        self._in_use = in_use
        self._service_lock = service_lock
        self._socket: socket.socket | None = None
        self._attempt: Attempt | None = None
        self._port = 0

    @property
    def uri(self) -> str:
        """Where it listens; known after `prepare`.

        It changes only when a server that an earlier service started has died and its port was
        taken meanwhile: `starting` is called then, as at every start.
        """
        return f"http://{HOST}:{self._port}"

    def prepare(self) -> None:
        """Find the running server, or open the socket for a new one.

        Blocks for a few system calls. Callers may connect from then on.
        """
        self._attempts.directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        chosen = self._read_choice()
        running = self._attempts.running()
        if chosen is not None and running is not None:
            self._attempt, self._port = running, chosen.port
            logger.info("embedded MLflow is still running at %s", self.uri)
            if chosen.artifacts_destination != self._config.artifacts_destination:
                logger.warning(
                    "embedded MLflow keeps the artifacts_destination with which it was started:"
                    " stop the service while no job runs, and start it again"
                )
            return
        self._open_socket(chosen)

    async def run(self, starting: Callable[[], None]) -> None:
        """Keep the server running until cancelled; it then keeps running by itself (see `leave`).

        None is started before the isolation level is known.
        """
        await run_with_restarts(
            partial(self._run_once, starting), BACKOFF, before_pause=self._log_exit
        )

    async def _run_once(self, starting: Callable[[], None]) -> Restart:
        attempt = self._attempt or await self._start(starting)
        await attempt.wait()
        self._attempt = None
        return Restart.AFTER_PAUSE

    async def _log_exit(self, pause: float) -> None:
        logger.warning(
            "embedded MLflow has ended (%s) and is started again in %g s; see %s",
            await asyncio.to_thread(_last_line, self._log),
            pause,
            self._log.relative_to(self._directory.parent),
        )

    async def leave(self) -> None:
        """Stop the server if no job runs; otherwise have it stopped when the last one has ended.

        To be called last of all, when `run` has been cancelled.
        """
        if self._socket is not None:
            self._socket.close()
        if self._attempt is None:
            return
        if not await asyncio.to_thread(is_held, self._in_use):
            # it does not need us for its end, so one that takes long does not hold up ours
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(LEAVE_SECONDS):
                    await self._attempt.stop()
                    await self._attempt.wait()
        else:
            self._spawn_undertaker(self._attempt)

    # --- starting -------------------------------------------------------------------------

    async def _start(self, starting: Callable[[], None]) -> Attempt:
        await self._selector.available()
        if self._socket is None:
            self._open_socket(self._read_choice())
        starting()
        service_sandbox = await asyncio.to_thread(self._sandbox)
        # set before the start: `leave` may come in between
        self._attempt = attempt = await asyncio.to_thread(self._attempts.create_next)
        await asyncio.to_thread(self._attempts.remove_before, attempt)
        await attempt.start(self._spec(attempt.directory, service_sandbox))
        logger.info("embedded MLflow is starting at %s", self.uri)
        return attempt

    def _sandbox(self) -> ServiceSandbox:
        remove_tree(self._tmp)
        self._store.mkdir(mode=0o700, parents=True, exist_ok=True)
        self._tmp.mkdir(mode=0o700)
        os.chown(self._tmp, self._store.stat().st_uid, -1)
        destination = _local(self._config.artifacts_destination)
        artifacts = [] if destination is None else [destination]
        return mlflow_sandbox(
            self._selector, store=self._store, program=PROGRAM, artifacts=artifacts
        )

    def _spec(self, directory: Path, service_sandbox: ServiceSandbox) -> ProcessSpec:
        assert self._socket is not None  # noqa: S101  # opened before every start
        descriptor = self._socket.fileno()
        # relative to the working directory: in a path before it, ? and % would be taken for a URL's
        store = "sqlite:///mlflow.db"
        # not an argument: an sftp:// address may hold a password, and every process sees those
        environment = _environment() | {
            ARTIFACTS_VARIABLE: self._artifacts,
            "TMPDIR": str(self._tmp),
        }
        if service_sandbox.spec is not None:
            # that of the service is not there
            environment["HOME"] = str(self._tmp)
        return process_spec(
            directory=directory,
            # -P: this package's folder does not belong on its path
            argv=[sys.executable, "-P", str(PROGRAM), str(descriptor), store],
            environment=environment,
            working_directory=self._store,
            log=self._log,
            grace_seconds=STOP_GRACE_SECONDS,
            locks=service_sandbox.locks,
            inherit=[descriptor],
            sandbox=service_sandbox.spec,
        )

    @property
    def _artifacts(self) -> str:
        return self._config.artifacts_destination or str(self._store / "artifacts")

    @property
    def _tmp(self) -> Path:
        # on the disk, and in the store's file system: models go through it
        return self._store / "tmp"

    @property
    def _log(self) -> Path:
        return self._directory / "mlflow.log"

    # --- port -----------------------------------------------------------------------------

    def _open_socket(self, chosen: _Choice | None) -> None:
        wanted = self._config.port
        if chosen is not None and chosen.configured == wanted:
            wanted = chosen.port
        self._socket = _listen(wanted) or _listen(0)
        if self._socket is None:
            raise OSError(f"no port of {HOST} can be listened on for MLflow")
        self._port = self._socket.getsockname()[1]
        if wanted not in {0, self._port}:
            logger.warning("port %d is taken; embedded MLflow uses %d", wanted, self._port)
        choice = _Choice(
            port=self._port,
            configured=self._config.port,
            artifacts_destination=self._config.artifacts_destination,
        )
        (self._directory / "server.json").write_bytes(msgspec.json.encode(choice))

    def _read_choice(self) -> _Choice | None:
        try:
            return msgspec.json.decode((self._directory / "server.json").read_bytes(), type=_Choice)
        except (FileNotFoundError, msgspec.MsgspecError):
            return None

    # --- stopping -------------------------------------------------------------------------

    def _spawn_undertaker(self, attempt: Attempt) -> None:
        null = (os.devnull, os.O_RDWR, 0)
        service = str(os.getpid())
        os.posix_spawn(
            sys.executable,
            service_python(
                UNDERTAKER, service, self._in_use, self._service_lock, attempt.directory
            ),
            {"PATH": os.defpath},
            file_actions=[(os.POSIX_SPAWN_OPEN, fd, *null) for fd in range(3)],
            setsid=True,
        )
        logger.info("jobs are running: embedded MLflow stops with the last of them")


def _listen(port: int) -> socket.socket | None:
    listener = socket.socket(socket.AF_INET, socket.SOCK_STREAM | socket.SOCK_CLOEXEC)
    try:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind((HOST, port))
        listener.listen(1024)
    except OSError:
        listener.close()
        return None
    return listener


def _environment() -> dict[str, str]:
    """The service's, since the credentials of its artifact store may be there, without Asgard's.

    It is the only process that gets them: the store is its, not the jobs'.
    """
    inherited = {
        name: value for name, value in os.environ.items() if not name.startswith("ASGARD_")
    }
    return inherited | {
        "PYTHONUNBUFFERED": "1",
        # its job runner would be a second server for code, beside ours and without our limits
        "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false",
    }


def _local(destination: str) -> Path | None:
    """The directory that artifacts go to, where it is one of this machine and not MLflow's own."""
    parts = urlsplit(destination)
    if not destination or parts.scheme not in {"", "file"}:
        return None
    return Path(unquote(parts.path) if parts.scheme else destination)


def _last_line(log: Path) -> str:
    with contextlib.suppress(OSError):
        lines = log.read_text(errors="replace").splitlines()
        return repr(lines[-1]) if lines else "without a word"
    return "without a log"
