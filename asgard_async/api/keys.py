"""What handlers find in the application: typed keys, set by `asgard_async.app`."""

from aiohttp import web

from asgard_async.api.http.bodies import Bodies
from asgard_async.api.metrics.service_metrics import Metrics
from asgard_async.api.openapi.document import ApiDocument
from asgard_async.api.schemas.submission import ArchiveSubmissionSchema, SubmissionSchema
from asgard_async.auth.audit import AuditLog
from asgard_async.auth.authenticator import Authenticator
from asgard_async.config import Config
from asgard_async.core.files.free_space import FreeSpace
from asgard_async.core.health import Readiness
from asgard_async.jobs.actions.cancel import Canceller
from asgard_async.jobs.actions.delete import Deleter
from asgard_async.jobs.actions.retry import Retrier
from asgard_async.jobs.following import Followers
from asgard_async.jobs.submit.submitter import Submitter
from asgard_async.logs.reader import LogReader
from asgard_async.mlflow.gateway import MlflowGateway
from asgard_async.mlflow.monitor import Monitor
from asgard_async.store.archives import ArchiveStore
from asgard_async.store.jobs import JobStore
from asgard_async.supervisor.limits.enforcer import LimitEnforcer
from asgard_async.supervisor.sandbox.selector import IsolationSelector

CONFIG = web.AppKey("config", Config)
AUDIT = web.AppKey("audit", AuditLog)
AUTHENTICATOR = web.AppKey("door", Authenticator)
BODIES = web.AppKey("bodies", Bodies)
ARCHIVES = web.AppKey("archives", ArchiveStore)
STORE = web.AppKey("store", JobStore)
SUBMITTER = web.AppKey("submitter", Submitter)
CANCELLER = web.AppKey("canceller", Canceller)
RETRIER = web.AppKey("retrier", Retrier)
DELETER = web.AppKey("deleter", Deleter)
LOGS = web.AppKey("logs", LogReader)
FOLLOWERS = web.AppKey("followers", Followers)
GATEWAY = web.AppKey("gateway", MlflowGateway)
LIMIT_ENFORCER = web.AppKey("keeping", LimitEnforcer)
ISOLATION = web.AppKey("ladder", IsolationSelector)
MONITOR = web.AppKey("monitor", Monitor)
READINESS = web.AppKey("readiness", Readiness)
SUBMISSION_SCHEMA = web.AppKey("submission_schema", SubmissionSchema)
ARCHIVE_SUBMISSION_SCHEMA = web.AppKey("archive_submission_schema", ArchiveSubmissionSchema)
FREE_SPACE = web.AppKey("free_space", FreeSpace)
METRICS = web.AppKey("metrics", Metrics)
API_DOCUMENT = web.AppKey("api_document", ApiDocument)
