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
import shutil
import socket
import sys
import time
from collections.abc import Callable
from pathlib import Path
from urllib.parse import unquote, urlsplit

import msgspec

from asgard_async.config import MlflowConfig
from asgard_async.core.files.locks import is_held
from asgard_async.core.files.remove_tree import remove_tree
from asgard_async.supervisor import shim
from asgard_async.supervisor.attempt import Attempt
from asgard_async.supervisor.sandbox.selector import IsolationSelector
from asgard_async.supervisor.sandbox.service_sandboxes import ServiceSandbox, mlflow_sandbox
from asgard_async.supervisor.shim.process_spec import ProcessSpec

logger = logging.getLogger(__name__)

HOST = "127.0.0.1"
ARTIFACTS_VARIABLE = "ASGARD_MLFLOW_ARTIFACTS"
"""Read by mlflow_program.py."""
LOG_LIMIT_BYTES = 16 << 20
STOP_GRACE_SECONDS = 3.0
LEAVE_SECONDS = 2.0
RESTART_SECONDS = 1.0
LONGEST_RESTART_SECONDS = 60.0
HEALTHY_SECONDS = 60.0
"""A server that lived this long is started again without patience."""
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
        (self._directory / "attempts").mkdir(mode=0o700, parents=True, exist_ok=True)
        chosen = self._read_choice()
        latest = self._latest_attempt()
        if chosen is not None and latest is not None and latest.is_alive():
            self._attempt, self._port = latest, chosen.port
            logger.info("embedded MLflow is still running at %s", self.uri)
            if chosen.artifacts_destination != self._config.artifacts_destination:
                logger.warning(
                    "embedded MLflow keeps the artifacts_destination with which it was started:"
                    " stop the service while no job runs, and start it again"
                )
            return
        self._open_socket(chosen)

    async def run(self, starting: Callable[[], None]) -> None:
        """Keep the server running until cancelled; it then runs on (see `leave`).

        None is started before it is known how it can be shut in.
        """
        pause = RESTART_SECONDS
        while True:
            attempt = self._attempt or await self._start(starting)
            begun = time.monotonic()
            await attempt.wait()
            self._attempt = None
            if time.monotonic() - begun > HEALTHY_SECONDS:
                pause = RESTART_SECONDS
            logger.warning(
                "embedded MLflow has ended (%s) and is started again in %g s; see %s",
                await asyncio.to_thread(_last_line, self._log),
                pause,
                self._log.relative_to(self._directory.parent),
            )
            await asyncio.sleep(pause)
            pause = min(pause * 2, LONGEST_RESTART_SECONDS)

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
        latest = self._latest_attempt()
        number = int(latest.directory.name) + 1 if latest is not None else 1
        directory = self._directory / "attempts" / str(number)
        await asyncio.to_thread(directory.mkdir, mode=0o700)
        if latest is not None:
            await asyncio.to_thread(shutil.rmtree, latest.directory, ignore_errors=True)
        # known before it is started: `leave` may come in between
        self._attempt = attempt = Attempt(directory)
        await attempt.start(self._spec(directory, service_sandbox))
        logger.info("embedded MLflow is starting at %s", self.uri)
        return attempt

    def _sandbox(self) -> ServiceSandbox:
        remove_tree(self._tmp)
        self._store.mkdir(mode=0o700, parents=True, exist_ok=True)
        self._tmp.mkdir(mode=0o700)
        os.chown(self._tmp, self._store.stat().st_uid, -1)
        places = [place] if (place := _local(self._config.artifacts_destination)) else []
        return mlflow_sandbox(self._selector, store=self._store, program=PROGRAM, places=places)

    def _spec(self, directory: Path, service_sandbox: ServiceSandbox) -> ProcessSpec:
        assert self._socket is not None  # noqa: S101  # opened before every start
        descriptor = self._socket.fileno()
        # relative to the working directory: in a path before it, ? and % would be taken for a URL's
        store = "sqlite:///mlflow.db"
        spec = ProcessSpec(
            directory=str(directory),
            argv=[
                sys.executable,
                "-P",  # this package's folder does not belong on its path
                str(PROGRAM),
                str(descriptor),
                store,
            ],
            # not an argument: an sftp:// address may hold a password, and every process sees those
            environment=_environment()
            | {ARTIFACTS_VARIABLE: self._artifacts, "TMPDIR": str(self._tmp)},
            working_directory=str(self._store),
            umask=0o077,
            log=str(self._log),
            log_limit=LOG_LIMIT_BYTES,
            timeout=0,
            grace=STOP_GRACE_SECONDS,
            memory_limit=0,
            open_files=0,
            held=[str(path) for path in service_sandbox.held],
            inherit=[descriptor],
        )
        if service_sandbox.sandbox is not None:
            spec["sandbox"] = service_sandbox.sandbox
            # that of the service is not there
            spec["environment"]["HOME"] = str(self._tmp)
        return spec

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

    def _latest_attempt(self) -> Attempt | None:
        names = [path.name for path in (self._directory / "attempts").iterdir()]
        numbers = [int(name) for name in names if name.isdecimal()]
        if not numbers:
            return None
        return Attempt(self._directory / "attempts" / str(max(numbers)))

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
        arguments = (os.getpid(), self._in_use, self._service_lock, attempt.directory)
        os.posix_spawn(
            sys.executable,
            [sys.executable, "-I", "-S", str(UNDERTAKER), *map(str, arguments)],
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
