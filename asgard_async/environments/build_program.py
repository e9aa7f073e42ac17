"""Builds one environment. The program runs under the shim, so it outlives the service.

`python -I -S build_program.py PLAN`, where PLAN is a file that contains a `Plan` (see below). The
output is copied to the logs of waiting jobs, without credentials in URLs. The program uses only the
standard library.

With sandboxes, there are two steps. The first step installs only wheels. This runs none of their
code, so it may use the shared cache. If a source distribution must be built, the second step
repeats the installation in the sandbox, with an empty cache that is deleted afterwards: a build
script that could write to the shared cache could change the packages that others install.
"""

import json
import os
import sys
from pathlib import Path
from typing import TypedDict

# the directory of the package, last on the path: it is site-packages if Asgard is installed
sys.path.append(os.path.abspath(f"{__file__}/../../.."))

from asgard_async.core.files.remove_tree import remove_tree
from asgard_async.core.redaction import without_secrets, without_user
from asgard_async.environments.git_credentials import without_credentials
from asgard_async.environments.publish import UnsafeEnvironment, Venv
from asgard_async.environments.sandboxed import run
from asgard_async.supervisor.shim import linux
from asgard_async.supervisor.shim.disk import allocated_bytes
from asgard_async.supervisor.shim.sandbox import SandboxSpec

FROM_SOURCE = "Some packages have no wheel; building them in isolation."
TOO_LARGE = "error: The build exceeded its disk limit ([limits] job_dir_mb)."
INDEXES = ("UV_DEFAULT_INDEX", "UV_INDEX")
PROXIES = ("http_proxy", "https_proxy", "all_proxy")


class Plan(TypedDict):
    """Instructions for one build."""

    uv: str
    python: str
    requirements: "list[str]"
    refreshed: "list[str]"
    """Packages that must not come from uv's cache."""
    staging: str
    """The directory to build in, which the build creates and removes."""
    final: str
    """The final directory of the environment, which is complete once it exists."""
    landlock_only: "SandboxSpec | None"
    """The sandbox for uv while it runs no untrusted code."""
    sandbox: "SandboxSpec | None"
    """The sandbox for uv while it runs untrusted code; None for a single step without sandbox."""
    max_bytes: int
    """The maximum size of the environment; 0 for no limit."""
    only_source: bool
    """True if untrusted code runs in any case, because a requirement is a direct reference."""


def main() -> int:
    """Build in the staging directory, then rename it, so that the final directory is complete."""
    with open(sys.argv[1]) as file:
        plan: Plan = json.load(file)
    if os.path.isdir(plan["final"]):
        return 0  # another process has built the environment
    linux.become_subreaper()
    try:
        return _build(plan)
    except UnsafeEnvironment as error:
        print(f"error: {error}", flush=True)  # noqa: T201  # to the log
        return 1
    finally:
        remove_tree(Path(plan["staging"]))


def _build(plan: Plan) -> int:
    shared = dict(os.environ)
    if plan["sandbox"] is None:
        code = _install(plan, shared, None, [f"--refresh-package={n}" for n in plan["refreshed"]])
    else:
        code = -1
        if not plan["only_source"]:
            code = _install(
                plan, shared, plan["landlock_only"], ["--only-binary=:all:"], is_first=True
            )
        if code:
            print(FROM_SOURCE, flush=True)  # noqa: T201
            code = _install(plan, _private(plan, shared), plan["sandbox"], [])
    return code


def _install(
    plan: Plan,
    environment: "dict[str, str]",
    sandbox: "SandboxSpec | None",
    options: "list[str]",
    *,
    is_first: bool = False,
) -> int:
    """Create an environment, publish it on success, and return uv's exit code."""
    staging = plan["staging"]
    remove_tree(Path(staging))
    for path in (staging, *(f"{staging}/{name}" for name in ("home", "tmp"))):
        os.mkdir(path, 0o755)
    requirements = f"{staging}/asked.txt"
    clean, of_git = without_credentials(plan["requirements"])
    with open(requirements, "w") as file:
        file.writelines(f"{requirement}\n" for requirement in clean)
    # by uv alone, before there is any untrusted code
    create = ["venv", "--quiet", "--relocatable", "--python", plan["python"], f"{staging}/venv"]
    if code := run([plan["uv"], *create], dict(os.environ), plan["landlock_only"]):
        return code
    venv = Venv(f"{staging}/venv")
    if sandbox is not None and sandbox["uid"] >= 0:
        venv.give(staging, sandbox["uid"])
    install = ["pip", "install", "--no-progress", "--python", f"{staging}/venv/bin/python"]
    code = run(
        [plan["uv"], *install, "--requirements", requirements, *options],
        environment | of_git,
        sandbox,
        hide_errors=is_first,
    )
    if code:
        return code
    # all untrusted processes have exited by now
    # the shim measures at intervals, so it can miss what is written just before the end
    if plan["max_bytes"] and allocated_bytes([f"{staging}/venv"]) > plan["max_bytes"]:
        print(TOO_LARGE, flush=True)  # noqa: T201
        return 1
    whole = f"{staging}-whole"
    remove_tree(Path(whole))
    os.mkdir(whole, 0o755)
    try:
        venv.take(f"{whole}/venv", sandbox["uid"] if sandbox is not None else -1)
        with open(f"{whole}/requirements.txt", "w") as file:
            file.writelines(
                without_secrets(f"{requirement}\n") for requirement in plan["requirements"]
            )
        os.close(os.open(f"{whole}/lock", os.O_CREAT | os.O_WRONLY, 0o600))
        # one sync instead of thousands of fsync calls; if it fails, the environment is rebuilt
        os.sync()
        os.rename(whole, plan["final"])
    finally:
        remove_tree(Path(whole))
    return 0


def _private(plan: Plan, shared: "dict[str, str]") -> "dict[str, str]":
    """Return the variables for untrusted code: a private cache, and none of the passwords."""
    environment = dict(shared)
    for name in INDEXES:
        if name in shared:
            environment[name] = " ".join(map(without_user, shared[name].split()))
    for name in shared:
        if name.lower() in PROXIES and without_user(shared[name]) != shared[name]:
            del environment[name]
    return environment | {"UV_CACHE_DIR": f"{plan['staging']}/cache", "UV_LINK_MODE": "hardlink"}


if __name__ == "__main__":
    sys.exit(main())
