"""MLflow's store of accounts and permissions, with Asgard's accounts.

Accounts have no passwords, since `authorization.py` decides who calls. MLflow would hash one at
each creation, which takes 0.3 s.
"""

import threading
from collections.abc import Collection
from typing import Any

from flask import has_request_context
from mlflow.server.auth.db.models import SqlUser
from mlflow.server.auth.entities import User
from mlflow.server.auth.permissions import EDIT, MANAGE, RESOURCE_TYPE_EXPERIMENT
from mlflow.server.auth.sqlalchemy_store import RoleGrantRow, SqlAlchemyStore

from asgard_async.mlflow.guard.authorization import identity_of_request
from asgard_async.mlflow.guard.owners import Owners
from asgard_async.mlflow.server.identities import READERS_ACCOUNT

NO_PASSWORD = "!"  # noqa: S105
"""No hash: no password matches it."""
MAX_CACHED = 10_000
CREATORS = "creators"
"""Stands for the right to create, where MLflow expects the id of an experiment."""
NOBODYS = "nobodys"
"""Stands for what only administrators may change."""


def owned_by(account: str) -> str:
    """Return what stands for all that an account made, where MLflow expects an experiment's id.

    MLflow has no permissions for a single run: a run has those of its experiment.
    """
    return f"owner:{account}"


class AccountStore(SqlAlchemyStore):
    """Grants to each account all that it made, and caches the accounts."""

    def __init__(self, owners: Owners) -> None:
        super().__init__()
        self._owners = owners
        self._lock = threading.Lock()
        self._ids: dict[str, int] = {}
        self._names: dict[int, str] = {}
        self._version = -1
        self._grants: dict[tuple[int, str, frozenset[str]], list[Any]] = {}
        """Permissions in this version of the database."""

    def get_user(self, username: str) -> User:
        """Return an account.

        Its rights as an administrator are those of the request's token: the attempts of an
        administrator's jobs do not have them.
        """
        is_admin = False
        if has_request_context():
            identity = identity_of_request()
            if identity is not None and identity.account == username:
                is_admin = identity.is_admin
                self.ensure(username)
        user_id = self._ids.get(username)
        if user_id is None:
            user_id = super().get_user(username).id
            self._remember(username, user_id)
        return User(user_id, username, NO_PASSWORD, is_admin)  # type: ignore[no-untyped-call]

    def ensure(self, *usernames: str) -> None:
        """Create accounts that do not exist."""
        missing = [name for name in usernames if name not in self._ids]
        if not missing:
            return
        with self._lock, self.ManagedSessionMaker(read_only=False) as session:
            rows = session.query(SqlUser).filter(SqlUser.username.in_(missing)).all()
            for name in set(missing) - {row.username for row in rows}:
                row = SqlUser(username=name, password_hash=NO_PASSWORD, is_admin=False)
                session.add(row)
                rows.append(row)
            session.flush()
            found = [(row.username, row.id) for row in rows]
        for name, user_id in found:
            self._remember(name, user_id)

    def list_grants(
        self, user_id: int, workspace: str, resource_types: Collection[str]
    ) -> list[Any]:
        """Return the account's permissions, with those on what it made."""
        grants = self._granted(user_id, workspace, frozenset(resource_types))
        name = self._names.get(user_id)
        if (
            name is None
            or name == READERS_ACCOUNT
            or RESOURCE_TYPE_EXPERIMENT not in (resource_types)
        ):
            return grants
        return [
            *grants,
            RoleGrantRow(RESOURCE_TYPE_EXPERIMENT, owned_by(name), MANAGE.name),
            RoleGrantRow(RESOURCE_TYPE_EXPERIMENT, CREATORS, EDIT.name),
        ]

    def _granted(self, user_id: int, workspace: str, types: frozenset[str]) -> list[Any]:
        """Return the stored permissions, from the cache unless the database has changed."""
        version = self._owners.version_of_others()
        if version != self._version or len(self._grants) >= MAX_CACHED:
            self._version, self._grants = version, {}
        cache, key = self._grants, (user_id, workspace, types)
        if (grants := cache.get(key)) is None:
            grants = cache[key] = super().list_grants(user_id, workspace, types)
        return grants

    def _remember(self, username: str, user_id: int) -> None:
        self._ids[username] = user_id
        self._names[user_id] = username
