"""Installation of MLflow's auth application into the embedded server's application.

It replaces private parts of MLflow. Each is looked up first, so that a later version of MLflow
without one of them does not start with a guard that has a gap.
"""

import os
import secrets
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

from asgard_async.mlflow.server.asgi import App, Receive, Scope, Send
from asgard_async.mlflow.server.protection import Protection

DATABASE = "auth.db"
READ, NOTHING = "READ", "NO_PERMISSIONS"
CONFIG = """
[mlflow]
default_permission = {default}
database_uri = sqlite:///{database}
authorization_function = {function}
"""


def guarded(plain: App, protection: Protection, *, store: Path) -> App:
    """Return the application that asks MLflow's auth application while the guard is on.

    Call this before anything else imports that application, which reads its settings then.
    """
    _prepare_environment(protection)
    from mlflow.server import app as flask_app
    from mlflow.server import auth as mlflow_auth

    from asgard_async.mlflow.guard import authorization
    from asgard_async.mlflow.guard.account_store import AccountStore
    from asgard_async.mlflow.guard.earlier_owners import EarlierOwners
    from asgard_async.mlflow.guard.owned_records import OwnedRecords
    from asgard_async.mlflow.guard.owners import Owners
    from asgard_async.mlflow.guard.rules import Rules

    auth: Any = mlflow_auth
    authorization.use(protection)
    owners = Owners(store / DATABASE)
    accounts = AccountStore(owners)
    _replace(auth, "store", accounts)
    before = len(_hooks(flask_app.before_request_funcs))
    after = len(_hooks(flask_app.after_request_funcs))
    application: App = auth.create_app(flask_app)
    earlier = EarlierOwners(store, owners=owners, accounts=accounts)
    rules = Rules(owners, accounts, are_unknown=lambda: earlier.are_unknown)
    tracking_store = auth._get_tracking_store
    _replace(auth, "_get_tracking_store", lambda: OwnedRecords(tracking_store(), owners))
    _replace(auth, "_authorize_create_in_experiment_as", rules.may_create_in_experiment)
    _replace(auth, "_can_create_in_workspace", rules.may_create)
    _replace(auth, "_artifact_proxy_child", rules.artifact)
    _replace(auth, "_get_otel_validator", rules.otel_validator)
    _replace_validators(auth, rules.validators())
    _add_recording(auth, rules)
    _gate(flask_app, protection, before=before, after=after)

    def apply() -> None:
        permission = READ if protection.others_read else NOTHING
        auth.auth_config = auth.auth_config._replace(default_permission=permission)
        accounts.ensure(*protection.identities.accounts)

    protection.on_change = apply
    apply()
    protection.owners_are_unknown = lambda: earlier.are_unknown
    protection.take_owners = earlier.take

    async def switch(scope: Scope, receive: Receive, send: Send) -> None:
        await (application if protection.is_on else plain)(scope, receive, send)

    return switch


def _prepare_environment(protection: Protection) -> None:
    from asgard_async.mlflow.guard.authorization import FUNCTION

    text = CONFIG.format(
        default=READ if protection.others_read else NOTHING, database=DATABASE, function=FUNCTION
    )
    with tempfile.NamedTemporaryFile("w", suffix=".ini", delete=False) as file:
        file.write(text)
    os.environ |= {
        "MLFLOW_AUTH_CONFIG_PATH": file.name,
        "MLFLOW_BASIC_AUTH_FAIL_CLOSED": "true",
        "MLFLOW_FLASK_SERVER_SECRET_KEY": secrets.token_hex(),
        # there is no administrator with a password: hashing one takes 0.3 s at each start
        "_MLFLOW_AUTH_ADMIN_BOOTSTRAPPED": "true",
        "_MLFLOW_SGI_NAME": "uvicorn",
    }


def _replace(module: Any, name: str, replacement: Any) -> None:
    getattr(module, name)  # fails if a later MLflow names it differently
    setattr(module, name, replacement)


def _replace_validators(
    auth: Any, replacements: dict[Callable[[], bool], Callable[[], bool]]
) -> None:
    tables = [
        auth.BEFORE_REQUEST_VALIDATORS,
        auth.TRACE_PARAMETERIZED_BEFORE_REQUEST_VALIDATORS,
        auth.LOGGED_MODEL_BEFORE_REQUEST_VALIDATORS,
    ]
    replaced = set()
    for table in tables:
        for route, validator in table.items():
            if validator in replacements:
                table[route] = replacements[validator]
                replaced.add(validator)
    if missing := set(replacements) - replaced:
        raise RuntimeError(f"MLflow has no routes for {missing}")


def _add_recording(auth: Any, rules: Any) -> None:
    """Record owners before the client gets the response to a creation."""
    from mlflow.protos.service_pb2 import CreateLoggedModel, CreateRun, StartTrace

    record = {
        CreateRun: rules.record_run,
        CreateLoggedModel: rules.record_model,
        StartTrace: rules.record_trace,
    }
    added = set()
    for path, handler, methods in auth.get_endpoints(record.get):
        for method in methods:
            if handler not in record.values():
                continue
            added.add(handler)
            earlier = auth.AFTER_REQUEST_HANDLERS.get((path, method))
            auth.AFTER_REQUEST_HANDLERS[path, method] = _both(handler, earlier)
    if len(added) < len(record):
        raise RuntimeError("MLflow has no routes for some creations")


def _both(first: Callable[[Any], None], second: Callable[[Any], None] | None) -> Any:
    def handler(response: Any) -> None:
        first(response)
        if second is not None:
            second(response)

    return handler


def _hooks(functions: Any) -> list[Any]:
    hooks: list[Any] = functions[None]
    return hooks


def _gate(flask_app: Any, protection: Protection, *, before: int, after: int) -> None:
    """Call the hooks that the auth application added only while the guard is on."""
    hooks = _hooks(flask_app.before_request_funcs)
    for index in range(before, len(hooks)):
        hooks[index] = _gated_before(hooks[index], protection)
    hooks = _hooks(flask_app.after_request_funcs)
    for index in range(after, len(hooks)):
        hooks[index] = _gated_after(hooks[index], protection)


def _gated_before(hook: Callable[[], Any], protection: Protection) -> Callable[[], Any]:
    return lambda: hook() if protection.is_on else None


def _gated_after(hook: Callable[[Any], Any], protection: Protection) -> Callable[[Any], Any]:
    return lambda response: hook(response) if protection.is_on else response
