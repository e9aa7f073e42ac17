"""The MLflow server that Asgard runs itself when none is configured.

Like a job, the server runs under a shim, so it outlives the service, which adopts it after a
restart. Its sockets are opened before the first start and stay open between restarts, so that early
clients wait instead of failing.

    mlflow-server/server.json      the chosen port and the artifact store
    mlflow-server/attempts/<n>/    the latest start's lock, pid.json, exit.json
    mlflow-server/mlflow.log
    mlflow/mlflow.db        runs, experiments, the registry
    mlflow/auth.db          accounts, permissions and owners
    mlflow/artifacts/       models and files, unless [mlflow] artifacts_destination is set
    mlflow/tmp/             the server's TMPDIR and HOME

Like a job, the server runs in a sandbox, because jobs control the paths that it reads and writes:
they choose the locations of their artifacts and can create links there. The server can access only
mlflow/.
"""

import asyncio
import contextlib
import logging
import os
import socket
import sys
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path
from urllib.parse import unquote, urlsplit

from asgard_async.config import Config
from asgard_async.core.backoff import Backoff
from asgard_async.core.files.descent import open_below
from asgard_async.core.files.locks import is_held
from asgard_async.core.files.remove_tree import remove_tree
from asgard_async.core.restart import Restart, run_with_restarts
from asgard_async.domain.attempt import Ended
from asgard_async.mlflow.accounts import Accounts
from asgard_async.mlflow.attempt_tokens import AttemptTokens
from asgard_async.mlflow.listening_socket import HOST, StoredSettings, open_sockets
from asgard_async.mlflow.server import application
from asgard_async.supervisor import shim
from asgard_async.supervisor.attempt import Attempt
from asgard_async.supervisor.attempts import AttemptSeries
from asgard_async.supervisor.held_sockets import HeldSockets
from asgard_async.supervisor.limits.enforcer import LimitEnforcer
from asgard_async.supervisor.limits.resource_limits import ResourceLimits
from asgard_async.supervisor.process_spec import process_spec, service_python
from asgard_async.supervisor.sandbox.selector import IsolationSelector
from asgard_async.supervisor.sandbox.service_sandboxes import ServiceSandbox, mlflow_sandbox
from asgard_async.supervisor.shim.process_spec import ProcessSpec
from asgard_async.supervisor.spawn import spawn

logger = logging.getLogger(__name__)

SETTINGS_FILE = "server.json"
PURPOSE = "mlflow"
"""The purpose of the server's sockets in `HeldSockets`."""
STOP_GRACE_SECONDS = 3.0
LEAVE_SECONDS = 2.0
BACKOFF = Backoff(first_seconds=1.0, longest_seconds=60.0, healthy_seconds=60.0)
PROGRAM = Path(__file__).parent / "server_program.py"
PACKAGE = Path(__file__).parents[1]
PROGRAM_FILES = (PACKAGE,)
"""Asgard's files that the server may read: Python imports from directories that it can list."""
MAX_PROCESSES = 512
ADDRESS_SPACE_BYTES = 4 << 30
"""Address space that the server reserves and does not use."""
UNDERTAKER = Path(shim.__file__).parent / "undertaker.py"


class EmbeddedServer:
    """Starts, adopts, restarts and stops the server.

    `directory` holds the service's files on the server, `store` the server's own data. Every
    running job's keeper holds a shared lock on `jobs_in_use`, and the server's on `in_use`; a
    running service holds `service_lock`.
    """

    def __init__(
        self,
        *,
        config: Config,
        directory: Path,
        store: Path,
        tokens: AttemptTokens,
        accounts: Accounts,
        server_id: str,
        selector: IsolationSelector,
        enforcer: LimitEnforcer,
        jobs_in_use: Path,
        in_use: Path,
        service_lock: Path,
        held_sockets: HeldSockets,
    ) -> None:
        self._config = config.mlflow
        self._server_settings = application.ServerSettings(
            artifacts=config.mlflow.artifacts_destination or str(store / "artifacts"),
            key=tokens.key.hex(),
            server_id=server_id,
            max_body_bytes=config.mlflow.max_body_bytes,
            max_stored_bytes=config.limits.job_dir_mb << 20,
            min_free_bytes=config.server.min_free_mb << 20,
            guard="off",
            others_read=config.access.others_read,
        )
        self._accounts = accounts
        self._directory = directory
        self._attempts = AttemptSeries(directory / "attempts")
        self._store = store
        self._selector = selector
        self._enforcer = enforcer
        self._jobs_in_use = jobs_in_use
        self._in_use = in_use
        self._service_lock = service_lock
        self._held_sockets = held_sockets
        self._sockets: list[socket.socket] = []
        self._attempt: Attempt | None = None
        self._last_exit: Ended | None = None
        self._port = 0

    @property
    def uri(self) -> str:
        """The server's address; known after `prepare`.

        It changes only if a server adopted from an earlier service process exits and its port is
        taken before the restart. As before every start, `starting` is then called.
        """
        return f"http://{HOST}:{self._port}"

    def prepare(self) -> None:
        """Adopt the running server, or open the socket for a new one.

        Blocks for a few system calls. Clients can connect afterwards.
        """
        self._attempts.directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        settings = StoredSettings.read(self._settings_file)
        running = self._attempts.running()
        if settings is not None and running is not None:
            self._attempt, self._port = running, settings.port
            self._keep_sockets()
            logger.info("embedded MLflow is still running at %s", self.uri)
            if settings.artifacts_destination != self._config.artifacts_destination:
                logger.warning(
                    "embedded MLflow was started with another artifacts_destination and keeps it;"
                    " to change it, restart the service while no job is running"
                )
            return
        self._open_sockets(settings)

    async def run(self, starting: Callable[[], None]) -> None:
        """Keep the server running until cancelled; the server itself then continues (see `leave`).

        Calls `starting` before each start. The first start waits until the isolation level is
        known.
        """
        await run_with_restarts(
            partial(self._run_once, starting), BACKOFF, before_pause=self._log_exit
        )

    async def _run_once(self, starting: Callable[[], None]) -> Restart:
        attempt = self._attempt or await self._start(starting)
        self._last_exit = await attempt.wait()
        self._attempt = None
        return Restart.AFTER_PAUSE

    async def _log_exit(self, pause: float) -> None:
        logger.warning(
            "embedded MLflow exited (%s); restarting in %g s; see %s",
            _exit_cause(self._last_exit),
            pause,
            self._log.relative_to(self._directory.parent),
        )

    async def leave(self) -> None:
        """Stop the server now if no job is running, otherwise after the last job.

        Call this last, after cancelling `run`.
        """
        for sock in self._sockets:
            sock.close()
        if self._attempt is None:
            return
        if not await asyncio.to_thread(is_held, self._jobs_in_use):
            # the server can finish stopping without the service, which does not wait any longer
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(LEAVE_SECONDS):
                    await self._attempt.stop()
                    await self._attempt.wait()
        else:
            self._spawn_undertaker(self._attempt)

    # --- starting -------------------------------------------------------------------------

    async def _start(self, starting: Callable[[], None]) -> Attempt:
        await self._selector.available()
        if not self._sockets:
            self._open_sockets(StoredSettings.read(self._settings_file))
        starting()
        service_sandbox = await asyncio.to_thread(self._sandbox)

        async def start(attempt: Attempt) -> None:
            self._attempt = attempt  # before the start, since `leave` may be called during it
            await asyncio.to_thread(self._attempts.remove_before, attempt)
            await attempt.start(self._spec(attempt.directory, service_sandbox))

        attempt = await self._attempts.start_next(start)
        logger.info("embedded MLflow is starting at %s", self.uri)
        return attempt

    def _sandbox(self) -> ServiceSandbox:
        remove_tree(self._tmp)
        self._store.mkdir(mode=0o700, parents=True, exist_ok=True)
        self._make_tmp()
        destination = _local_directory(self._config.artifacts_destination)
        artifacts = [] if destination is None else [destination]
        return mlflow_sandbox(
            self._selector, store=self._store, program=PROGRAM_FILES, artifacts=artifacts
        )

    def _spec(self, directory: Path, service_sandbox: ServiceSandbox) -> ProcessSpec:
        descriptors = [sock.fileno() for sock in self._sockets]  # opened before every start
        # relative to the working directory, whose path may contain ? or %, special in a URL
        store = "sqlite:///mlflow.db"
        settings = replace(self._server_settings, guard=self._accounts.guard_at_start)
        # not an argument: an sftp:// address may contain a password, and arguments are public
        environment = _environment() | {
            application.VARIABLE: settings.encode(),
            "TMPDIR": str(self._tmp),
        }
        if service_sandbox.spec is not None:
            # the service's home directory is not visible in the sandbox
            environment["HOME"] = str(self._tmp)
        limits = ResourceLimits(memory_bytes=self._config.memory_mb << 20, processes=MAX_PROCESSES)
        address_space = self._enforcer.address_space_bytes(limits)
        return process_spec(
            directory=directory,
            # -P keeps this package's directory off the module search path
            argv=[sys.executable, "-P", str(PROGRAM), ",".join(map(str, descriptors)), store],
            environment=environment,
            working_directory=self._store,
            log=self._log,
            grace_seconds=STOP_GRACE_SECONDS,
            locks=[self._in_use, *service_sandbox.locks],
            inherit=descriptors,
            sandbox=service_sandbox.spec,
            address_space_bytes=address_space + ADDRESS_SPACE_BYTES if address_space else 0,
            limits=self._enforcer.service_limits(limits, directory),
        )

    @property
    def _tmp(self) -> Path:
        # on the store's file system rather than a tmpfs: models pass through it
        return self._store / "tmp"

    def _make_tmp(self) -> None:
        """Create the server's TMPDIR, owned like the store, which the server's user can write."""
        store = open_below(str(self._store))
        try:
            os.mkdir(self._tmp.name, 0o700, dir_fd=store)
            tmp = open_below(store, self._tmp.name)
            try:
                os.fchown(tmp, os.fstat(store).st_uid, -1)
            finally:
                os.close(tmp)
        finally:
            os.close(store)

    @property
    def _settings_file(self) -> Path:
        return self._directory / SETTINGS_FILE

    @property
    def _log(self) -> Path:
        return self._directory / "mlflow.log"

    # --- port -----------------------------------------------------------------------------

    def _keep_sockets(self) -> None:
        """Keep the sockets of the running server, for its next start."""
        for sock in self._held_sockets.take(PURPOSE):
            if sock.getsockname()[1] == self._port:
                self._sockets.append(sock)
            else:
                sock.close()
        self._held_sockets.hold(PURPOSE, self._sockets)

    def _open_sockets(self, last_settings: StoredSettings | None) -> None:
        earlier = self._held_sockets.take(PURPOSE)
        self._sockets = open_sockets(self._config.port, last_settings, earlier)
        self._held_sockets.hold(PURPOSE, self._sockets)
        self._port = self._sockets[0].getsockname()[1]
        settings = StoredSettings(
            port=self._port,
            configured=self._config.port,
            artifacts_destination=self._config.artifacts_destination,
        )
        settings.write(self._settings_file)

    # --- stopping -------------------------------------------------------------------------

    def _spawn_undertaker(self, attempt: Attempt) -> None:
        paths = (self._jobs_in_use, self._service_lock, attempt.directory)
        spawn(service_python(UNDERTAKER, str(os.getpid()), *paths), {"PATH": os.defpath})
        logger.info("jobs are running; embedded MLflow stops after the last one")


def _environment() -> dict[str, str]:
    """The service's environment without Asgard's own variables.

    It may contain the credentials for the artifact store, which no other process gets: jobs access
    the store only through MLflow.
    """
    inherited = {
        name: value for name, value in os.environ.items() if not name.startswith("ASGARD_")
    }
    return inherited | {
        "PYTHONUNBUFFERED": "1",
        # MLflow's own job runner would execute code outside Asgard's sandbox and limits
        "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false",
    }


def _local_directory(destination: str) -> Path | None:
    """The configured artifact directory, if it is a local path."""
    parts = urlsplit(destination)
    if not destination or parts.scheme not in {"", "file"}:
        return None
    return Path(unquote(parts.path) if parts.scheme else destination)


def _exit_cause(ended: Ended | None) -> str:
    if ended is None:
        return "unknown cause"
    if ended.signal is not None:
        return f"signal {ended.signal}"
    if ended.exit_code is not None:
        return f"exit code {ended.exit_code}"
    return ended.error or "unknown cause"
