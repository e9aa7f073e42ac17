"""The checks that `vm_test.py` runs in its machine, as root, at each boot.

Each result is a line of JSON on the second serial port. What must outlive a reboot is in STATE.
"""

import contextlib
import json
import os
import platform
import re
import time
import traceback
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

from vm_service import (
    ASGARD,
    PYTHON,
    Service,
    eventually,
    make_index,
    run,
    set_up_sharing,
)
from vm_suites import PAYLOAD, SUITES, USER, run_suite

RESULTS = Path("/dev/ttyS1")
STATE = Path("/var/lib/asgard-vm-test.json")
LONGEST_DETAIL = 20_000
REPORTED = ("SKIPPED", "FAILED", "ERROR")
NAMESPACE_SETTINGS = ("kernel.unprivileged_userns_clone", "user.max_user_namespaces")

TRAINING = """
import mlflow
with mlflow.start_run():
    mlflow.log_metric("accuracy", 0.5)
print("trained")
"""
HUNGRY = "print('hungry', flush=True)\nkept = bytearray(900 << 20)\nprint('fed')\n"
WAITS = """
import pathlib, time
print("waiting", flush=True)
while not pathlib.Path("/srv/share/{name}").exists():
    time.sleep(0.1)
print("seen", flush=True)
"""


def send(**result: Any) -> None:
    with RESULTS.open("w") as port:
        port.write(json.dumps(result) + "\n")


@contextlib.contextmanager
def check(name: str) -> Iterator[list[str]]:
    """Report a check; what it adds to the list are its details."""
    details: list[str] = []
    began = time.monotonic()
    error = ""
    try:
        yield details
    except Exception:
        error = traceback.format_exc()[-LONGEST_DETAIL:]
    seconds = round(time.monotonic() - began)
    send(check=name, ok=not error, seconds=seconds, detail="; ".join(details), error=error)


# --- the service -----------------------------------------------------------------------------


def check_service(service: Service) -> None:
    """A unit as installed: it starts, restarts with running jobs, and is stopped."""
    kind = service.kind
    with check(f"{kind}: `asgard service install` and the printed steps start it") as details:
        service.install()
        details.append(f"isolation {service.isolation()}")
        limits = service.ready()["limits"]
        details.append(", ".join(f"{name} {means}" for name, means in limits.items()))
        assert service.systemctl("is-enabled", "asgard") == "enabled"
        assert service.isolation() == "sandbox"
        assert {limits[name] for name in ("memory", "cpus", "processes")} == {"cgroup v2"}
    with check(f"{kind}: a job above its memory limit ends as out_of_memory"):
        check_memory_limit(service)
    for name, what, action in (
        ("restart", "systemctl restart", lambda: service.systemctl("restart", "asgard")),
        ("kill", "kill -9 of the service", service.kill),
        ("stop", "stop, then start", service.stop_and_start),
    ):
        with check(f"{kind}: a running job survives {what}") as details:
            check_survival(service, name, action)
            details += service.complaints()
    with check(f"{kind}: limits are in force after the restarts"):
        check_memory_limit(service)
    with check(f"{kind}: a stop with no job leaves no process") as details:
        service.systemctl("stop", "asgard")
        assert service.systemctl("is-active", "asgard") == "inactive"
        eventually(lambda: not service.processes(), "no process is left", details=service.processes)
        service.systemctl("start", "asgard")
        service.wait_until_ready()
    with check(f"{kind}: the journal has no traceback") as details:
        journal = service.journal()
        assert "Traceback" not in journal, journal[-5000:]
        details.append(f"{len(journal.splitlines())} lines")


def check_memory_limit(service: Service) -> None:
    job = service.finished(service.submit(HUNGRY, resources={"memory_mb": 300}))
    assert job["reason"] == "out_of_memory", job


def check_survival(service: Service, name: str, action: Callable[[], object]) -> None:
    """Run a job through an action that replaces the service's process."""
    file = f"{service.kind}-{name}"
    job_id = service.submit(WAITS.format(name=file), resources={"memory_mb": 600})
    service.says(job_id, "waiting")
    (group,) = service.groups(job_id)
    before, main = (group / "memory.max").read_text(), service.main_pid()
    action()
    service.wait_until_ready()
    assert service.main_pid() not in {main, 0}
    job = service.job(job_id)
    assert job["phase"] == "running", job
    assert (group / "memory.max").read_text() == before
    Path("/srv/share", file).touch()
    job = service.finished(job_id)
    assert (job["reason"], job["logs"]) == ("succeeded", "waiting\nseen\n"), job
    assert [move["phase"] for move in job["history"]].count("running") == 1, job
    eventually(lambda: not service.groups(job_id), "the job's group is gone")


def system_service() -> None:
    check_service(Service("system", 8000))
    with check("system: systemd-analyze security") as details:
        lines = run("systemd-analyze", "security", "--no-pager", "asgard.service").splitlines()
        details.append(lines[-1].strip("→ "))


def user_service() -> None:
    check_service(Service(USER, 8001))


def training() -> None:
    service = Service("system", 8000)
    service.install()
    with check("system: a job trains with the embedded MLflow"):
        job = service.finished(service.submit(TRAINING))
        assert job["reason"] == "succeeded", job
        assert job["run_id"], job


# --- the suites ------------------------------------------------------------------------------


def suite(stage: str, what: str) -> None:
    """Run the tests of a stage."""
    for selection in SUITES[stage]:
        with check(f"{what}: {selection.name}") as details:
            done = run_suite(selection)
            lines = done.stdout.splitlines()
            summary = re.sub(r" in [0-9.]+s.*", "", lines[-1].strip("= ")) if lines else "no output"
            details.append(summary)
            details += [line[:300] for line in lines if line.startswith(REPORTED)]
            assert done.returncode == 0, done.stdout[-LONGEST_DETAIL:] + done.stderr[-3000:]


def limits_root() -> None:
    suite("limits", "limits, as root")


def limits_user() -> None:
    suite("limits-user", "limits, as a user")


def sandbox_root() -> None:
    suite("sandbox", "isolation, as root")


def sandbox_user() -> None:
    suite("sandbox-user", "isolation, as a user")


@contextlib.contextmanager
def without_namespaces(setting: str) -> Iterator[None]:
    """Forbid user namespaces to ordinary users."""
    before = run("sysctl", "-n", setting)
    run("sysctl", "-q", "-w", f"{setting}=0")
    try:
        yield
    finally:
        run("sysctl", "-q", "-w", f"{setting}={before}")


def namespaces() -> None:
    """The level that services of ordinary users select, and that their jobs run on."""
    services = (Service("system", 8000), Service(USER, 8001))
    for service in services:
        service.install()
    for setting in NAMESPACE_SETTINGS:
        with without_namespaces(setting):
            for service in services:
                with check(f"{setting}=0: {service.kind} service selects sandbox-lite") as details:
                    service.systemctl("restart", "asgard")
                    ready = service.wait_until_ready()
                    details += [f"level {ready['isolation']}", *ready["warnings"]]
                    job = service.finished(service.submit("print('done')"))
                    assert job["reason"] == "succeeded", job
                    assert (ready["isolation"], job["isolation"]) == ("sandbox-lite",) * 2
    for service in services:  # the tests below start their own
        service.systemctl("stop", "asgard.socket", "asgard")


def namespaces_suite() -> None:
    setting = NAMESPACE_SETTINGS[0]
    with without_namespaces(setting):
        suite("namespaces-suite", f"{setting}=0, as a user")


# --- reboots ---------------------------------------------------------------------------------


def submit_before(state: dict[str, Any], name: str) -> None:
    """Fill the service: two slots, one running, one building, and two jobs in the queue."""
    service = Service("system", 8000)
    service.install()
    make_index(f"slow-{name}")
    jobs = {"running": service.submit(WAITS.format(name=f"never-{name}"))}
    service.says(jobs["running"], "waiting")
    script = f"import slow_{name}\nprint('built')\n"
    jobs["building"] = service.submit(script, requirements=[f"slow-{name}"])
    service.phase(jobs["building"], "environment")
    for number in (1, 2):
        jobs[f"queued {number}"] = service.submit("print('queued')")
    state["jobs"] = jobs


def check_after(state: dict[str, Any], name: str) -> None:
    service = Service("system", 8000)
    with check(f"{name}: the enabled unit is up again") as details:
        service.wait_until_ready()
        details += service.complaints()
    jobs = state["jobs"]
    with check(f"{name}: the job that ran is lost, and not run again") as details:
        job = service.finished(jobs["running"])
        details.append(f"{job['reason']}: {job['error']}")
        assert job["reason"] == "lost", job
        assert [move["phase"] for move in job["history"]].count("running") == 1, job
        assert job["logs"].count("waiting") == 1, job
    with check(f"{name}: the interrupted build is done again, its job runs once"):
        job = service.finished(jobs["building"])
        assert job["reason"] == "succeeded", job
        assert job["logs"].splitlines().count("built") == 1, job
    for number in (1, 2):
        with check(f"{name}: queued job {number} runs, once"):
            job = service.finished(jobs[f"queued {number}"])
            assert (job["reason"], job["logs"]) == ("succeeded", "queued\n"), job
            assert [move["phase"] for move in job["history"]].count("running") == 1, job
    with check(f"{name}: the journal of this boot has no traceback"):
        assert "Traceback" not in service.journal(), service.journal()[-5000:]


STAGES: dict[str, Callable[[], None]] = {
    "service": system_service,
    "training": training,
    "user-service": user_service,
    "namespaces": namespaces,
    "limits": limits_root,
    "limits-user": limits_user,
    "sandbox": sandbox_root,
    "sandbox-user": sandbox_user,
    "namespaces-suite": namespaces_suite,
}


def first_boot(stages: Sequence[str]) -> None:
    osrelease = platform.freedesktop_os_release()
    version = run("systemctl", "--version").split()[1]
    controllers = Path("/sys/fs/cgroup/cgroup.controllers").read_text().strip()
    send(
        facts={
            "Debian": Path("/etc/debian_version").read_text().strip() + f" ({osrelease['NAME']})",
            "kernel": platform.release(),
            "systemd": version,
            "Python": platform.python_version(),
            "cgroup v2 controllers": controllers,
            "security modules": Path("/sys/kernel/security/lsm").read_text().strip(),
        }
    )
    with check("the wheel installs"):
        wheel = next(PAYLOAD.glob("*.whl"))
        uv = ASGARD.with_name("uv")
        run(uv, "pip", "install", "-q", "--offline", "--no-deps", "--python", PYTHON, wheel)
    set_up_sharing(USER)
    for name, stage in STAGES.items():
        if name in stages:
            try:
                stage()
            except Exception:
                error = traceback.format_exc()[-LONGEST_DETAIL:]
                send(check=f"stage {name} runs to its end", ok=False, seconds=0, error=error)


def main() -> None:
    stages = (PAYLOAD / "stages").read_text().split()
    state: dict[str, Any] = {"boot": 0, "jobs": {}}
    if STATE.exists():
        state = json.loads(STATE.read_text())
    boot: int = state["boot"]
    try:
        if boot == 0:
            first_boot(stages)
        else:
            check_after(state, "reboot" if boot == 1 else "reset")
        if "reboot" in stages and boot < 2:
            with check(f"before the {'reset' if boot else 'reboot'}: jobs run, build and wait"):
                submit_before(state, "reset" if boot else "reboot")
        state["boot"] = boot + 1
        STATE.write_text(json.dumps(state))
        os.sync()
    except Exception:
        send(check="the checks run to their end", ok=False, seconds=0, error=traceback.format_exc())
        boot = 2
    if "reboot" not in stages or boot >= 2:
        send(end=True)
        run("systemctl", "--no-block", "poweroff")
    elif boot == 0:
        run("systemctl", "--no-block", "reboot")
    else:  # the kernel restarts the machine at once, like a loss of power
        Path("/proc/sysrq-trigger").write_text("b")


if __name__ == "__main__":
    main()
