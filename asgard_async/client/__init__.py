"""The Python client for Asgard's HTTP API. Runs on any system.

from asgard_async.client import AsgardClient

with AsgardClient() as asgard:
    job = asgard.submit("train.py", experiment_name="churn", model_name="churn")
    for text in asgard.logs(job, follow=True):
        print(text, end="")
    job = asgard.wait(job, check=True)
"""

from asgard_async.client.asynchronous import AsyncAsgardClient
from asgard_async.client.errors import (
    AsgardError,
    Conflict,
    ConnectionFailed,
    InvalidRequest,
    JobFailed,
    LogNotKept,
    NotFound,
    QueueFull,
    TooManyRequests,
    Unauthorized,
    Unavailable,
)
from asgard_async.client.events import EndEvent, Event, GapEvent, LogEvent, StatusEvent
from asgard_async.client.files import FileList, JobFile
from asgard_async.client.jobs import HistoryEntry, Job, Resources, Run, Status
from asgard_async.client.models import ModelVersion, RegisteredModel
from asgard_async.client.service import Readiness, ServiceStatus
from asgard_async.client.submission import UploadWarning
from asgard_async.client.sync import AsgardClient

__all__ = [
    "AsgardClient",
    "AsgardError",
    "AsyncAsgardClient",
    "Conflict",
    "ConnectionFailed",
    "EndEvent",
    "Event",
    "FileList",
    "GapEvent",
    "HistoryEntry",
    "InvalidRequest",
    "Job",
    "JobFailed",
    "JobFile",
    "LogEvent",
    "LogNotKept",
    "ModelVersion",
    "NotFound",
    "QueueFull",
    "Readiness",
    "RegisteredModel",
    "Resources",
    "Run",
    "ServiceStatus",
    "Status",
    "StatusEvent",
    "TooManyRequests",
    "Unauthorized",
    "Unavailable",
    "UploadWarning",
]
