"""Attempts to change what another owner's jobs made, by every route that MLflow has."""

import dataclasses
import itertools
import random
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio

from tests.support import owned_things
from tests.support.guarded_mlflow import GuardedMlflow
from tests.support.mlflow_routes import Route, body_for, in_camel_case, path_for, routes
from tests.support.owned_things import Things, record

pytestmark = [
    pytest.mark.mlflow,
    pytest.mark.service,
    pytest.mark.slow,
    pytest.mark.asyncio(loop_scope="session"),
]
FEW, MANY = 250, 2500


@dataclasses.dataclass(frozen=True)
class Attempt:
    """A request by a caller that names a victim's things."""

    caller: str
    method: str
    path: str
    options: dict[str, Any]


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def victims(guarded: GuardedMlflow) -> AsyncIterator[list[Things]]:
    """Things of Ann: in an experiment of her own, and in one that Bob made."""
    bobs = await owned_things.make(guarded, "bob", "bobs")
    yield [
        await owned_things.make(guarded, "ann", "anns"),
        await owned_things.make(guarded, "ann", "guest", experiment_id=bobs.experiment_id),
    ]


def callers(guarded: GuardedMlflow) -> dict[str, str | None]:
    return {
        "another owner's job": guarded.attempt("bob"),
        "another owner": guarded.secrets["bob"],
        "a reader": guarded.secrets["reader"],
        "a job without owner": guarded.attempt(""),
        "a stranger": None,
        "a forger": guarded.attempt("ann")[:-4] + "AAAA",
    }


def attempts(table: list[Route], things: Things) -> Iterator[Attempt]:
    """Yield attempts at each route: by body in both spellings, by query, and by other names."""
    fields = things.fields()
    for route, caller in itertools.product(table, ("another owner's job", "another owner")):
        for names in ({}, {"name": things.prompt_name}):
            victim = {**fields, **names}
            body = body_for(route.fields, victim)
            path = path_for(route, victim)
            if route.method == "GET":
                yield Attempt(caller, "GET", path, {"params": _flat({**fields, **body})})
                break
            yield Attempt(caller, route.method, path, {"json": body or fields})
            yield Attempt(caller, route.method, path, {"json": in_camel_case(body or fields)})
            yield Attempt(caller, route.method, path, {"params": _flat({**fields, **body})})
            yield Attempt(caller, route.method, path, {"json": {**fields, **body}})
            if "name" not in route.fields:
                break
    for route, caller in itertools.product(
        table, ("a reader", "a job without owner", "a stranger", "a forger")
    ):
        if route.method != "GET":
            options = {"json": body_for(route.fields, fields) or fields}
            yield Attempt(caller, route.method, path_for(route, fields), options)


def attempts_at_artifacts(things: Things) -> Iterator[Attempt]:
    """Yield attempts to write or delete artifacts, by all names of their paths."""
    experiment, run, model = things.experiment_id, things.run_id, things.model_id
    paths = [
        *(f"{experiment}/{run}/artifacts/notes.txt", f"{experiment}/{run}/artifacts/new.txt"),
        *(f"{experiment}/{run}/artifacts", f"{experiment}/{run}", f"{experiment}", ".", ""),
        *(f"{experiment}/models/{model}/artifacts/MLmodel", f"{experiment}/models/{model}"),
        *(f"{experiment}/models", f"{experiment}/traces", f"{experiment}/traces/{things.trace_id}"),
        *(f"./{experiment}/{run}/artifacts/notes.txt", f"{experiment}/./{run}/artifacts/a.txt"),
        *(f"{experiment}//{run}/artifacts/a.txt", f"/{experiment}/{run}/artifacts/a.txt"),
        *(f"999/../{experiment}/{run}/artifacts/a.txt", f"{experiment}/x/../{run}/artifacts/a"),
        f"{experiment}%2F{run}%2Fartifacts%2Fa.txt",
        f"{experiment}%252F{run}%252Fartifacts%252Fa.txt",
        f"%2531/{run}/artifacts/a.txt",
        f"0{experiment}/{run}/artifacts/a.txt",
        f"workspaces/default/{experiment}/{run}/artifacts/a.txt",
    ]
    for api, path, caller in itertools.product(
        ("api", "ajax-api"),
        paths,
        ("another owner's job", "another owner", "a reader", "a job without owner", "a stranger"),
    ):
        url = f"/{api}/2.0/mlflow-artifacts/artifacts/{path}"
        yield Attempt(caller, "PUT", url, {"data": b"stolen"})
        yield Attempt(caller, "DELETE", url, {})
    for api, caller, path in itertools.product(
        ("api", "ajax-api"), ("another owner's job", "another owner"), ("notes.txt", "new.txt")
    ):
        for name in ("run_uuid", "run_id"):
            yield Attempt(
                caller,
                "POST",
                f"/{api}/2.0/mlflow/upload-artifact",
                {"params": {name: run, "path": path}, "data": b"stolen"},
            )


def _flat(fields: dict[str, Any]) -> dict[str, str]:
    return {name: str(value) for name, value in fields.items() if isinstance(value, str | int)}


async def _attack(guarded: GuardedMlflow, things: Things, chosen: list[Attempt]) -> None:
    store = guarded.service.data_dir / "mlflow"
    tokens = callers(guarded)
    before = record(store, things)
    assert things.run_id in repr(before)
    changed = []
    for attempt in chosen:
        status, text = await guarded.ask(
            attempt.method, attempt.path, tokens[attempt.caller], **attempt.options
        )
        after = record(store, things)
        if after != before:
            differing = [key for key in {*before, *after} if before.get(key) != after.get(key)]
            changed.append((attempt, status, text[:200], differing))
            before = after
    assert not changed, "\n".join(map(str, changed))


def _chosen(found: list[Attempt], most: int) -> list[Attempt]:
    return found if len(found) <= most else random.Random(1).sample(found, most)


@pytest.mark.parametrize("victim", [0, 1], ids=["own experiment", "guest"])
@pytest.mark.parametrize("most", [FEW, pytest.param(MANY, marks=pytest.mark.soak)])
async def test_another_owner_changes_nothing_by_any_route(
    guarded: GuardedMlflow, victims: list[Things], tmp_path: Path, victim: int, most: int
) -> None:
    found = list(attempts(routes(tmp_path), victims[victim]))
    assert len(found) >= MANY
    await _attack(guarded, victims[victim], _chosen(found, most))


@pytest.mark.parametrize("victim", [0, 1], ids=["own experiment", "guest"])
async def test_another_owner_changes_no_artifacts(
    guarded: GuardedMlflow, victims: list[Things], victim: int
) -> None:
    found = list(attempts_at_artifacts(victims[victim]))
    assert len(found) > 300
    await _attack(guarded, victims[victim], found)
