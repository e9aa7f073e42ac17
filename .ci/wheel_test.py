"""Build the sdist, the wheel from it, install that into an empty environment, start it there, and
run the 13 checks against it.

Nothing of the checkout is visible to what is started: it runs from a temporary directory, with a
clean environment. `build` and the test tools are those of the interpreter that runs this.
"""

import os
import re
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from commands import CHECKOUT, captured
from report_checks import run_report_checks

LIVE_WITHIN_SECONDS = 60
STOP_WITHIN_SECONDS = 30
ADDRESS = re.compile(r"listens on (http://127\.0\.0\.1:\d+)")


def run(*command: str | Path, cwd: Path) -> None:
    done = captured(*command, cwd=cwd)
    if done.returncode != 0:
        raise SystemExit(f"{' '.join(map(str, command))} failed:\n{done.stdout}")


def build_wheel(workplace: Path) -> Path:
    # with neither --sdist nor --wheel the wheel is built from the sdist, so both are tried
    run(sys.executable, "-m", "build", "--outdir", workplace / "dist", CHECKOUT, cwd=workplace)
    (wheel,) = (workplace / "dist").glob("*.whl")
    return wheel


def install(wheel: Path, workplace: Path) -> Path:
    run(sys.executable, "-m", "venv", workplace / "venv", cwd=workplace)
    python = workplace / "venv/bin/python"
    run(python, "-m", "pip", "install", "--disable-pip-version-check", "-q", wheel, cwd=workplace)
    return workplace / "venv/bin/asgard"


def address_in(output: Path, service: subprocess.Popen[bytes]) -> str:
    deadline = time.monotonic() + LIVE_WITHIN_SECONDS
    while time.monotonic() < deadline:
        found = ADDRESS.search(output.read_text())
        if found:
            return found[1]
        if service.poll() is not None:
            raise SystemExit(f"asgard serve ended with {service.returncode}:\n{output.read_text()}")
        time.sleep(0.1)
    raise SystemExit(f"asgard serve named no address:\n{output.read_text()}")


def processes_naming(text: str) -> list[int]:
    found = []
    for entry in Path("/proc").glob("[0-9]*"):
        try:
            if text.encode() in (entry / "cmdline").read_bytes():
                found.append(int(entry.name))
        except OSError:
            continue
    return found


def check_service(asgard: Path, workplace: Path) -> None:
    output = workplace / "serve.out"
    environ = {"PATH": os.environ["PATH"], "HOME": str(workplace), "LANG": "C.UTF-8"}
    environ["ASGARD_MLFLOW__PORT"] = "0"  # somebody else may have 5000
    data_dir = workplace / "data"
    with output.open("wb") as sink:
        service = subprocess.Popen(
            [asgard, "serve", "--port", "0", "--data-dir", data_dir],
            cwd=workplace,
            env=environ,
            stdin=subprocess.DEVNULL,
            stdout=sink,
            stderr=subprocess.STDOUT,
        )
    try:
        run_report_checks(address_in(output, service))
    finally:
        service.send_signal(signal.SIGTERM)
        code = service.wait(STOP_WITHIN_SECONDS)
    if code != 0:
        raise SystemExit(f"asgard serve ended with {code}:\n{output.read_text()}")
    deadline = time.monotonic() + STOP_WITHIN_SECONDS
    while left := processes_naming(str(data_dir)):
        if time.monotonic() > deadline:
            raise SystemExit(f"still running after the stop: {left}")
        time.sleep(0.1)


def main() -> None:
    with tempfile.TemporaryDirectory(prefix="asgard-wheel-") as directory:
        workplace = Path(directory)
        wheel = build_wheel(workplace)
        check_service(install(wheel, workplace), workplace)
        print(f"{wheel.name} installs into an empty environment and runs there.")


if __name__ == "__main__":
    main()
