"""MLflow's application behind the middleware, and the settings that the service passes to it."""

import dataclasses
import json
import os
from pathlib import Path
from typing import Self

from .artifacts import Storage
from .asgi import App, Receive, Refusals, Scope, Send
from .attribution import Attribution
from .bodies import BodyLimits
from .callers import Callers
from .closed_routes import ClosedRoutes
from .cross_origin import CrossOrigin
from .identities import Identities
from .interrupted_uploads import remove_interrupted
from .protection import AccountsUpdate, Authentication, Protection
from .report import Report
from .usage import Usage
from .written_runs import WrittenRuns
from .written_runs_report import WrittenRunsReport

VARIABLE = "ASGARD_MLFLOW_SERVER"
"""The environment variable with the settings, since arguments are public."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class ServerSettings:
    """Settings of the embedded server; sizes of 0 mean no limit."""

    artifacts: str
    """The artifact store: a directory or a URL."""
    key: str = dataclasses.field(repr=False)
    """The key of attempt tokens, in hexadecimal."""
    server_id: str
    """The id of the service, which marks the runs of its jobs."""
    max_body_bytes: int
    max_stored_bytes: int
    """The storage limit of each job."""
    min_free_bytes: int
    guard: str = "off"
    """`off` for a server without permissions, `on`, or `ready`: on as soon as tokens exist."""
    others_read: bool = True
    """True if owners may read the experiments, runs and models of others."""

    def encode(self) -> str:
        """Return the value of the environment variable."""
        return json.dumps(dataclasses.asdict(self))

    @classmethod
    def take(cls) -> Self:
        """Read the settings, and remove the variable so that child processes do not inherit it."""
        return cls(**json.loads(os.environ.pop(VARIABLE)))


def protection_of(settings: ServerSettings) -> Protection:
    """Return the guard in its first state, in which it knows no tokens."""
    return Protection(
        Identities(bytes.fromhex(settings.key)),
        is_on=settings.guard == "on",
        others_read=settings.others_read,
    )


class GuardedApplication:
    """An application behind all of the middleware, outermost first.

    Refusals, origins, callers, closed features, the reports, bodies, storage, attribution.
    """

    def __init__(
        self, app: App, settings: ServerSettings, *, protection: Protection, store: Path
    ) -> None:
        self._usage = Usage(store / "usage.db")
        remove_interrupted(settings.artifacts, self._usage.take_interrupted())
        self._written = WrittenRuns(store / "written-runs.db")
        app = Attribution(app, written=self._written, server_id=settings.server_id)
        app = Storage(
            app,
            usage=self._usage,
            max_bytes=settings.max_stored_bytes,
            directory=store,
            min_free_bytes=settings.min_free_bytes,
        )
        # outside of the storage, which counts bodies as MLflow gets them: unpacked
        app = BodyLimits(app, max_bytes=settings.max_body_bytes)
        app = Report(app, usage=self._usage)
        app = WrittenRunsReport(app, written=self._written)
        app = AccountsUpdate(app, protection=protection)
        app = ClosedRoutes(app)
        app = Authentication(app, protection=protection)
        app = Callers(app, key=bytes.fromhex(settings.key))
        self._app = Refusals(CrossOrigin(app))

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Handle a request."""
        await self._app(scope, receive, send)

    def close(self) -> None:
        """Save what is counted."""
        self._usage.close()
        self._written.close()
