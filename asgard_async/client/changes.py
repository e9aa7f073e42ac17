"""The changes that a retry may ask for."""

from collections.abc import Mapping, Sequence
from typing import Any, TypedDict

from asgard_async.client.submission import list_of_text


class Changes(TypedDict, total=False):
    """Arguments of `submit` that `retry` accepts. In a mapping, None removes a name."""

    experiment_name: str
    model_name: str
    requirements: Sequence[str]
    environment_vars: Mapping[str, str | None]
    args: Sequence[str]
    params: Mapping[str, bool | int | float | str | None]
    timeout: int | None
    tags: Mapping[str, str | None]
    priority: int
    warm: bool
    memory_mb: int | None
    cpus: float | None
    entrypoint: str


RESOURCES = frozenset({"memory_mb", "cpus"})
LISTS = frozenset({"requirements", "args"})


def changes_body(changes: Changes, idempotency_key: str | None) -> dict[str, Any]:
    """Return the body of the request; empty if nothing changes.

    Raises:
        TypeError: there is no such argument, or a list is a string.
    """
    if unknown := changes.keys() - Changes.__annotations__.keys():
        raise TypeError(f"retry() cannot change {', '.join(sorted(unknown))}.")
    body: dict[str, Any] = {}
    for name, value in changes.items():
        if name in RESOURCES:
            body.setdefault("resources", {})[name] = value
        elif name in LISTS:
            body[name] = list_of_text(name, value)  # type: ignore[arg-type]  # a list
        else:
            body[name] = value
    if idempotency_key is not None:
        body["idempotency_key"] = idempotency_key
    return body
