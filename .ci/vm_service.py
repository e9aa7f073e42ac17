"""A service under systemd, of the machine or of a user, and its jobs over HTTP; standard library
and the tests' package builder only."""

import base64
import json
import os
import re
import subprocess
import time
import urllib.error
import urllib.request
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

PYTHON = Path("/opt/asgard/bin/python")
ASGARD = Path("/opt/asgard/bin/asgard")
SHARE = Path("/srv/share")
INDEX = Path("/srv/index")
INDEX_PORT = 8099
WITHIN_SECONDS = 400.0
"""Software emulation is slow, and the machine that emulates may be busy."""
BUILD_SECONDS = 20
"""How long a build sleeps, so that a reboot interrupts it."""
CONFIG = """
[server]
port = {port}
[jobs]
max_concurrent_jobs = 2
[isolation]
read_only = ["{share}"]
[environments]
index_url = "http://127.0.0.1:{index_port}/simple"
[mlflow]
port = {mlflow_port}
"""
T = TypeVar("T")
INDEX_UNIT = """
[Service]
ExecStart=/usr/bin/python3 -m http.server --bind 127.0.0.1 --directory {index} {port}
[Install]
WantedBy=multi-user.target
"""


def run(*command: str | Path, timeout: float = 600) -> str:
    """Return a command's standard output; fail with all of its output if it fails."""
    done = subprocess.run(
        [str(word) for word in command],
        check=False,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=timeout,
    )
    assert done.returncode == 0, (command, done.returncode, done.stdout, done.stderr)
    return done.stdout.strip()


def eventually(
    action: Callable[[], T | None], what: str, *, details: Callable[[], object] = lambda: ""
) -> T:
    """Wait until an action returns something true; return that."""
    deadline = time.monotonic() + WITHIN_SECONDS
    while not (result := action()):
        assert time.monotonic() < deadline, f"not in time: {what} {details()}"
        time.sleep(0.5)
    return result


def set_up_sharing(user: str) -> None:
    """Make the directory in which the checks leave files for jobs, and serve packages."""
    SHARE.mkdir(exist_ok=True)
    run("loginctl", "enable-linger", user)
    run("systemctl", "start", "user@1000.service")  # waits until the user's manager is up
    INDEX.mkdir(exist_ok=True)
    unit = Path("/etc/systemd/system/asgard-index.service")
    unit.write_text(INDEX_UNIT.format(index=INDEX, port=INDEX_PORT))
    run("systemctl", "daemon-reload")
    run("systemctl", "enable", "--now", "asgard-index")


def make_index(name: str) -> None:
    """Publish a package whose build takes a while, and an empty mlflow for its environment."""
    from importlib.metadata import version

    from tests.support.wheels import make_sdist, make_wheel

    module = name.replace("-", "_")
    script = f"import time\ndef make():\n    time.sleep({BUILD_SECONDS})\n"
    script += f"    return {{'{module}.py': ''}}\n"
    files = {
        name: make_sdist(INDEX, module, script),
        "mlflow": make_wheel(INDEX, "mlflow", "", version=version("mlflow")),
    }
    for project, file in files.items():
        page = INDEX / "simple" / project / "index.html"
        page.parent.mkdir(parents=True, exist_ok=True)
        page.write_text(f'<a href="/{file.name}">{file.name}</a>\n')


class Service:
    """The unit `asgard` of the system's or a user's manager."""

    def __init__(self, kind: str, port: int) -> None:
        self.kind = kind
        self._is_system = kind == "system"
        self._url = f"http://127.0.0.1:{port}"
        self._port = port
        self._data = Path("/var/lib/asgard" if self._is_system else "/home/user/data")

    # --- systemd ------------------------------------------------------------------------------

    def shell(self, command: str) -> str:
        """Run a shell command as the service's administrator: root, or its user."""
        if self._is_system:
            return run("sh", "-c", command)
        environ = ("HOME=/home/user", "XDG_RUNTIME_DIR=/run/user/1000")
        return run("runuser", "-u", self.kind, "--", "env", *environ, "sh", "-c", command)

    def install(self) -> None:
        """Install the unit, and do what the command says that remains to be done."""
        file = Path(f"/etc/asgard-{self.kind}.toml")
        text = CONFIG.format(
            port=self._port, share=SHARE, index_port=INDEX_PORT, mlflow_port=self._port + 1000
        )
        file.write_text(text)
        options = "--system" if self._is_system else f"--data-dir {self._data}"
        printed = self.shell(f"{ASGARD} service install {options} --config {file}")
        for step in re.findall(r"^  (.+)$", printed, re.M):
            if step.startswith("loginctl"):  # "as root"
                run("sh", "-c", step)
            elif not step.startswith("journalctl"):
                self.shell(step)
        self.wait_until_ready()

    def systemctl(self, *arguments: str) -> str:
        """Return the output of systemctl, whatever its exit code; restarts and starts must work."""
        user = "" if self._is_system else "--user "
        or_not = "" if arguments[0] in {"restart", "start", "stop"} else " || true"
        return self.shell(f"systemctl {user}{' '.join(arguments)}{or_not}")

    def main_pid(self) -> int:
        return int(self.systemctl("show", "--value", "--property=MainPID", "asgard"))

    def kill(self) -> None:
        """Kill the service; systemd restarts it."""
        main = self.main_pid()
        self.shell(f"kill -9 {main}")
        eventually(lambda: self.main_pid() not in {0, main}, "restarted", details=self.journal)

    def stop_and_start(self) -> None:
        self.systemctl("stop", "asgard")
        self.systemctl("start", "asgard")

    def journal(self) -> str:
        """The service's and its manager's messages of this boot."""
        unit = "-u asgard" if self._is_system else "_UID=1000"
        return run("sh", "-c", f"journalctl --boot --no-pager -o cat {unit}")

    def complaints(self) -> list[str]:
        """What systemd has to say about processes that it found, and failures, without repeats."""
        words = ("left-over", "remains running", "Failed", "failed", "unclean")
        found = [
            re.sub(r"\d+ \(.*?\)", "N (…)", line)
            for line in self.journal().splitlines()
            if line.startswith("asgard.service:") and any(word in line for word in words)
        ]
        return list(dict.fromkeys(found))

    def processes(self) -> list[str]:
        """The processes that name the data directory, or are in the unit's control group."""
        found = []
        for entry in Path("/proc").glob("[0-9]*"):
            try:
                words = (entry / "cmdline").read_bytes().replace(b"\0", b" ").decode()
                group = (entry / "cgroup").read_text().strip()
            except OSError:
                continue
            slice_of_unit = "system.slice" if self._is_system else "user.slice"
            is_member = slice_of_unit in group and "/asgard.service" in group
            if words and (is_member or str(self._data) in words):
                found.append(f"{entry.name} {group} {words}")
        return found

    def groups(self, job_id: str) -> list[Path]:
        """The existing control groups of a job."""
        # not by a glob, which fails if other groups disappear meanwhile
        return [
            Path(folder, name)
            for folder, names, _ in os.walk("/sys/fs/cgroup")
            for name in names
            if name.startswith(f"{job_id}.")
        ]

    # --- the service --------------------------------------------------------------------------

    def request(self, path: str, body: Any = None) -> Any:
        data = None if body is None else json.dumps(body).encode()
        headers = {"Content-Type": "application/json"}
        request = urllib.request.Request(self._url + path, data=data, headers=headers)
        try:
            with urllib.request.urlopen(request, timeout=120) as response:
                return json.load(response)
        except urllib.error.HTTPError as error:
            raise AssertionError(f"{path}: {error.code} {error.read().decode()}") from error

    def ready(self) -> dict[str, Any]:
        ready: dict[str, Any] = self.request("/health/ready")
        return ready

    def isolation(self) -> str:
        return str(self.ready()["isolation"])

    def wait_until_ready(self) -> dict[str, Any]:
        def is_ready() -> dict[str, Any] | None:
            try:
                return self.ready()
            except (OSError, AssertionError):
                return None

        return eventually(is_ready, f"{self.kind} is ready", details=self._state)

    def _state(self) -> str:
        return self.systemctl("status", "--no-pager", "asgard") + self.journal()[-6000:]

    def submit(self, script: str, **fields: Any) -> str:
        body = {
            "script_name": "train.py",
            "script_content": base64.b64encode(script.encode()).decode(),
            "experiment_name": "vm",
            "model_name": "vm",
            **fields,
        }
        return str(self.request("/mlops/training/upload", body)["job_id"])

    def job(self, job_id: str, logs: str = "full") -> dict[str, Any]:
        job: dict[str, Any] = self.request(f"/mlops/training/jobs/{job_id}?logs={logs}")
        return job

    def says(self, job_id: str, text: str) -> None:
        eventually(
            lambda: text in self.job(job_id)["logs"],
            f"{job_id} logs {text!r}",
            details=lambda: self.job(job_id),
        )

    def phase(self, job_id: str, phase: str) -> None:
        eventually(
            lambda: self.job(job_id, "none")["phase"] == phase,
            f"{job_id} is in {phase}",
            details=lambda: self.job(job_id),
        )

    def finished(self, job_id: str) -> dict[str, Any]:
        self.phase(job_id, "finished")
        return self.job(job_id)
