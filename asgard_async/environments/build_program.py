"""Builds one environment; runs under a shim, so that it outlives the service.

`python -I -S build_program.py PLAN`, where PLAN is a file as `Plan` below. What it prints is shown
to the waiting jobs, addresses without their credentials. Standard library alone.

Within walls (see the isolation package) there are two steps. The first installs wheels alone: that
runs none of their code, so it may use the cache of all builds. Where a source distribution has to
be built, all is done again, shut in, in an empty cache that is thrown away: a build script that
wrote to the common one could change what others install.
"""

import json
import os
import shutil
import sys
from typing import TypedDict

# found by its place; last, since that place is site-packages where Asgard is installed
sys.path.append(os.path.abspath(f"{__file__}/../../.."))

from asgard_async.core.redaction import without_secrets, without_user
from asgard_async.environments.publish import Refused, Venv
from asgard_async.environments.sandboxed import run
from asgard_async.supervisor.shim import linux
from asgard_async.supervisor.shim.sandbox import SandboxSpec

FROM_SOURCE = "Not all of it is there as wheels: what is not gets built, apart from other builds."
INDEXES = ("UV_DEFAULT_INDEX", "UV_INDEX")
PROXIES = ("http_proxy", "https_proxy", "all_proxy")


class Plan(TypedDict):
    """What is to be built."""

    uv: str
    python: str
    requirements: "list[str]"
    refreshed: "list[str]"
    """Packages of which nothing that uv has cached is taken."""
    staging: str
    """A directory to build in, which is made and removed."""
    final: str
    """Where the environment is to be in the end; it is whole when it is there."""
    landlock_only: "SandboxSpec | None"
    """What uv is kept within when it runs no foreign code; none of both to do all in one step."""
    sandbox: "SandboxSpec | None"
    """What it is kept within when it does."""
    only_source: bool
    """Whether foreign code is run in any case: something comes from an address of its own."""


def main() -> int:
    """Build aside, then rename: what is called by its final name is whole."""
    with open(sys.argv[1]) as file:
        plan: Plan = json.load(file)
    if os.path.isdir(plan["final"]):
        return 0  # somebody else was quicker
    linux.become_subreaper()
    try:
        return _build(plan)
    except Refused as error:
        print(f"error: {error}", flush=True)  # noqa: T201  # to the log
        return 1
    finally:
        shutil.rmtree(plan["staging"], ignore_errors=True)


def _build(plan: Plan) -> int:
    common = dict(os.environ)
    if plan["sandbox"] is None:
        code = _install(plan, common, None, [f"--refresh-package={n}" for n in plan["refreshed"]])
    else:
        code = -1
        if not plan["only_source"]:
            code = _install(
                plan, common, plan["landlock_only"], ["--only-binary=:all:"], is_first=True
            )
        if code:
            print(FROM_SOURCE, flush=True)  # noqa: T201
            code = _install(plan, _private(plan, common), plan["sandbox"], [])
    return code


def _install(
    plan: Plan,
    environment: "dict[str, str]",
    sandbox: "SandboxSpec | None",
    options: "list[str]",
    *,
    is_first: bool = False,
) -> int:
    """Make an environment and, unless that fails, publish it; uv's exit code."""
    staging = plan["staging"]
    shutil.rmtree(staging, ignore_errors=True)
    for path in (staging, *(f"{staging}/{name}" for name in ("home", "tmp"))):
        os.mkdir(path, 0o755)
    asked = f"{staging}/asked.txt"
    with open(asked, "w") as file:
        file.writelines(f"{one}\n" for one in plan["requirements"])
    # by uv alone, before anything of others is there
    make = ["venv", "--quiet", "--relocatable", "--python", plan["python"], f"{staging}/venv"]
    if code := run([plan["uv"], *make], dict(os.environ), plan["landlock_only"]):
        return code
    venv = Venv(f"{staging}/venv")
    if sandbox is not None and sandbox["uid"] >= 0:
        venv.give(staging, sandbox["uid"])
    install = ["pip", "install", "--no-progress", "--python", f"{staging}/venv/bin/python"]
    code = run(
        [plan["uv"], *install, "--requirements", asked, *options],
        environment,
        sandbox,
        holds_back_errors=is_first,
    )
    if code:
        return code
    # whose code ran here is over
    whole = f"{staging}-whole"
    shutil.rmtree(whole, ignore_errors=True)
    os.mkdir(whole, 0o755)
    try:
        venv.take(f"{whole}/venv", sandbox["uid"] if sandbox is not None else -1)
        with open(f"{whole}/requirements.txt", "w") as kept:
            kept.writelines(without_secrets(f"{one}\n") for one in plan["requirements"])
        os.close(os.open(f"{whole}/lock", os.O_CREAT | os.O_WRONLY, 0o600))
        # not one fsync per file of thousands: the environment can be built again
        os.sync()
        os.rename(whole, plan["final"])
    finally:
        shutil.rmtree(whole, ignore_errors=True)
    return 0


def _private(plan: Plan, common: "dict[str, str]") -> "dict[str, str]":
    """The variables for foreign code: places of its own, and no password of the administrator's."""
    environment = dict(common)
    for name in INDEXES:
        if name in common:
            environment[name] = " ".join(map(without_user, common[name].split()))
    for name in common:
        if name.lower() in PROXIES and without_user(common[name]) != common[name]:
            del environment[name]
    return environment | {"UV_CACHE_DIR": f"{plan['staging']}/cache", "UV_LINK_MODE": "hardlink"}


if __name__ == "__main__":
    sys.exit(main())
