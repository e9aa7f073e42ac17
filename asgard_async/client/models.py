"""Registered models as the service returns them."""

from datetime import datetime

import msgspec

from asgard_async.client.jobs import Record


class ModelVersion(Record, frozen=True, kw_only=True):
    """A version of a registered model."""

    name: str
    version: str
    stage: str | None = None
    run_id: str | None = None
    description: str = ""
    tags: dict[str, str] = msgspec.field(default_factory=dict)
    created_at: datetime
    updated_at: datetime


class ModelVersionPage(Record, frozen=True, kw_only=True):
    """A page of the versions of a model."""

    versions: tuple[ModelVersion, ...]
    next_cursor: str | None = None


class RegisteredModel(Record, frozen=True, kw_only=True):
    """A registered model with the newest version of each stage, newest first."""

    name: str
    description: str = ""
    tags: dict[str, str] = msgspec.field(default_factory=dict)
    aliases: dict[str, str] = msgspec.field(default_factory=dict)
    """Version by alias."""
    latest_versions: tuple[ModelVersion, ...] = ()
    created_at: datetime
    updated_at: datetime
