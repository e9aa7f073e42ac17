"""What handlers find in the application: typed keys, set by `asgard_async.app`."""

from aiohttp import web

from asgard_async.access.audit import AuditLog
from asgard_async.access.door import Door
from asgard_async.api.bodies import Bodies
from asgard_async.api.metrics import Metrics
from asgard_async.api.openapi.document import ApiDocument
from asgard_async.api.schemas.submission import ArchiveSubmissionSchema, SubmissionSchema
from asgard_async.config import Config
from asgard_async.execution.isolation.ladder import Ladder
from asgard_async.execution.limits.keeping import Keeping
from asgard_async.execution.warm.servers import WarmServers
from asgard_async.free_space import FreeSpace
from asgard_async.jobs.cancel import Canceller
from asgard_async.jobs.delete import Deleter
from asgard_async.jobs.following import Followers
from asgard_async.jobs.retry import Retrier
from asgard_async.jobs.submit import Submitter
from asgard_async.logs.reader import LogReader
from asgard_async.readiness import Readiness
from asgard_async.store.archives import ArchiveStore
from asgard_async.store.jobs import JobStore
from asgard_async.tracking.gateway import MlflowGateway
from asgard_async.tracking.monitor import Monitor

CONFIG = web.AppKey("config", Config)
AUDIT = web.AppKey("audit", AuditLog)
DOOR = web.AppKey("door", Door)
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
KEEPING = web.AppKey("keeping", Keeping)
WARM = web.AppKey("warm", WarmServers)
LADDER = web.AppKey("ladder", Ladder)
MONITOR = web.AppKey("monitor", Monitor)
READINESS = web.AppKey("readiness", Readiness)
SUBMISSION_SCHEMA = web.AppKey("submission_schema", SubmissionSchema)
ARCHIVE_SUBMISSION_SCHEMA = web.AppKey("archive_submission_schema", ArchiveSubmissionSchema)
FREE_SPACE = web.AppKey("free_space", FreeSpace)
METRICS = web.AppKey("metrics", Metrics)
API_DOCUMENT = web.AppKey("api_document", ApiDocument)
