"""Start Asgard, train a random forest over HTTP, and show the run and the model.

It uses only the standard library, so it also shows how little a client needs. `make demo` runs it;
with DEMO_EXIT=1 it exits at the end without waiting for Ctrl-C.
"""

import base64
import json
import os
import re
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from types import FrameType
from typing import Any

HERE = Path(__file__).resolve().parent
SCRIPT = HERE / "trainings" / "random_forest.py"
DATA_DIR = HERE.parent / "demo-data"
SERVICE_LOG = DATA_DIR / "service.log"
PORT = 8000
EXIT_AT_END = os.environ.get("DEMO_EXIT") == "1"
EXPERIMENT, MODEL = "asgard-demo", "demo-forest"

LIVE_SECONDS = 60
JOB_SECONDS = 300
STOP_SECONDS = 30
POLL_SECONDS = 0.1


class DemoFailed(Exception):
    """The demo cannot continue; the text says why."""


class Interrupted(Exception):
    """Ctrl-C or another signal to stop was received."""


class Interrupts:
    """Remembers signals until the demo checks for them, so that nothing is interrupted half-way."""

    def __init__(self) -> None:
        self.received = False
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            signal.signal(number, self._remember)

    def _remember(self, number: int, frame: FrameType | None) -> None:
        self.received = True

    def wait_for(self, what: str, seconds: float, poll: Callable[[], Any]) -> Any:
        """Poll until the result is truthy; return it."""
        deadline = time.monotonic() + seconds
        while not (result := poll()):
            if self.received:
                raise Interrupted
            if time.monotonic() > deadline:
                raise DemoFailed(f"{what} took longer than {seconds:.0f} s.")
            time.sleep(POLL_SECONDS)
        return result


def request(method: str, url: str, body: Any = None) -> tuple[bytes, Any]:
    """Send a request; return the body and headers of the response."""
    data = None if body is None else json.dumps(body).encode()
    message = urllib.request.Request(
        url, data=data, method=method, headers={"Content-Type": "application/json"}
    )
    try:
        with urllib.request.urlopen(message, timeout=30) as answer:
            return answer.read(), answer.headers
    except urllib.error.HTTPError as error:
        with error:
            text = error.read().decode(errors="replace")
        raise DemoFailed(f"{method} {url} was answered with {error.code}: {text}") from error
    except (urllib.error.URLError, OSError) as error:
        raise DemoFailed(f"{method} {url} was not answered: {error}") from error


def get(url: str) -> Any:
    return json.loads(request("GET", url)[0])


def say(name: str, text: str) -> None:
    print(f"  {name:<9} {text}", flush=True)


# --- the service ------------------------------------------------------------------------------


@contextmanager
def service(interrupts: Interrupts) -> Iterator[str]:
    """Start `asgard serve` and yield its URL; stop it and its MLflow at the end."""
    DATA_DIR.mkdir(mode=0o700, exist_ok=True)
    environ = {k: v for k, v in os.environ.items() if not k.startswith(("ASGARD_", "MLFLOW_"))}
    with SERVICE_LOG.open("wb") as log:
        process = subprocess.Popen(
            [
                *(sys.executable, "-m", "asgard_async", "serve"),
                *("--port", str(free_port()), "--data-dir", str(DATA_DIR)),
            ],
            env=environ,
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            start_new_session=True,  # Ctrl-C reaches only the demo, which then stops the service
        )
    try:
        started = time.monotonic()
        url = interrupts.wait_for("The start", LIVE_SECONDS, lambda: address_of(process))
        interrupts.wait_for("The start", LIVE_SECONDS, lambda: is_live(url))
        say("Service", f"{url}  (live after {time.monotonic() - started:.1f} s)")
        yield url
    finally:
        stop(process)


def free_port() -> int:
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", PORT))
        except OSError:
            return 0  # taken: use any free port
    return PORT


def address_of(process: subprocess.Popen[bytes]) -> str | None:
    log = SERVICE_LOG.read_text(errors="replace")
    if found := re.search(r"listens on (http://\S+)", log):
        return found[1]
    if process.poll() is not None:
        raise DemoFailed(f"The service did not start:\n{log}")
    return None


def is_live(url: str) -> bool:
    try:
        return bool(get(f"{url}/health/live"))
    except DemoFailed:
        return False


def stop(process: subprocess.Popen[bytes]) -> None:
    """Send SIGTERM, and wait for the service and MLflow to exit. Signals do not interrupt this."""
    mlflow = mlflow_address()
    if process.poll() is None:
        print("\nStopping the service and MLflow …", end=" ", flush=True)
        process.terminate()
        try:
            process.wait(STOP_SECONDS)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
    deadline = time.monotonic() + STOP_SECONDS
    while mlflow and answers(*mlflow):
        if time.monotonic() > deadline:
            print(f"MLflow still answers at {mlflow[0]}:{mlflow[1]}; see {SERVICE_LOG}.")
            return
        time.sleep(POLL_SECONDS)
    print("stopped.", flush=True)


def mlflow_address() -> tuple[str, int] | None:
    found = re.search(
        r"embedded MLflow .*http://([\d.]+):(\d+)", SERVICE_LOG.read_text(errors="replace")
    )
    return (found[1], int(found[2])) if found else None


def answers(host: str, port: int) -> bool:
    with socket.socket() as probe:
        probe.settimeout(1)
        return probe.connect_ex((host, port)) == 0


# --- the job ----------------------------------------------------------------------------------


def upload(url: str) -> str:
    body = {
        "script_name": SCRIPT.name,
        "script_content": base64.b64encode(SCRIPT.read_bytes()).decode(),
        "experiment_name": EXPERIMENT,
        "model_name": MODEL,
        "requirements": ["scikit-learn", "numpy"],
        "tags": {"team": "demo", "stage": "test", "data": "synthetic"},
    }
    job_id: str = json.loads(request("POST", f"{url}/mlops/training/upload", body)[0])["job_id"]
    return job_id


def follow(url: str, job_id: str, interrupts: Interrupts) -> dict[str, Any]:
    """Print the job's log as it grows, until the job has finished; return the job."""
    job_url = f"{url}/mlops/training/jobs/{job_id}"
    offset, phase, rest = 0, "", b""

    def poll() -> dict[str, Any] | None:
        nonlocal offset, phase, rest
        job: dict[str, Any] = get(f"{job_url}?logs=none")
        # read after the phase, so the log of a finished job is complete
        text, headers = request("GET", f"{job_url}/logs?offset={offset}")
        offset = int(headers["X-Log-Next-Offset"])
        if job["phase"] != phase:
            phase = job["phase"]
            say("Phase", phase)
        *lines, rest = (rest + text).split(b"\n")
        for line in lines:
            print(f"            | {line.decode(errors='replace')}", flush=True)
        return job if phase == "finished" and not text else None

    job: dict[str, Any] = interrupts.wait_for("The training", JOB_SECONDS, poll)
    return job


def cancel(url: str, job_id: str) -> None:
    """Cancel the job and wait for its end, so that nothing keeps running."""
    print("\nCancelling the job…", flush=True)
    job_url = f"{url}/mlops/training/jobs/{job_id}"
    request("POST", f"{job_url}/cancel")
    deadline = time.monotonic() + STOP_SECONDS
    while get(f"{job_url}?logs=none")["phase"] != "finished" and time.monotonic() < deadline:
        time.sleep(POLL_SECONDS)


def show(url: str, mlflow: str, job: dict[str, Any]) -> None:
    if job["status"] != "completed":
        raise DemoFailed(f"The job {job['status']}: {job['error']}")
    timings = ", ".join(f"{phase} {seconds:.1f}" for phase, seconds in job["timings"].items())
    say("Job", f"{job['job_id']} completed in {job['duration_seconds']:.1f} s (seconds: {timings})")
    run_url = f"{mlflow}/api/2.0/mlflow/runs/get?run_id={job['run_id']}"
    run = get(run_url)["run"]
    say("Run", f"{job['run_id']} {run['info']['status']}")
    for metric in run["data"]["metrics"]:
        say("", f"{metric['key']:<15} {metric['value']:.4f}")
    model = get(f"{url}/mlops/models/{urllib.parse.quote(job['model_name'])}")
    latest = model["latest_versions"][0]
    say("Model", f"{model['name']} version {latest['version']}, of run {latest['run_id']}")


def look_around(url: str, mlflow: str, job: dict[str, Any]) -> None:
    print(
        f"\nLook around:\n"
        f"  MLflow                 {mlflow}\n"
        f"  the job                curl {url}/mlops/training/jobs/{job['job_id']}\n"
        f"  its log                curl {url}/mlops/training/jobs/{job['job_id']}/logs\n"
        f"  all jobs               curl {url}/mlops/training/jobs\n"
        f"  registered models      curl {url}/mlops/models\n"
        f"  service status         curl {url}/mlops/status\n"
        f"  train again            curl -X POST {url}/mlops/training/jobs/{job['job_id']}/retry"
    )


def run(interrupts: Interrupts) -> None:
    print("Asgard demo: a random forest, from its script to a registered model\n", flush=True)
    with service(interrupts) as url:
        mlflow = get(f"{url}/mlops/status")["mlflow_tracking_uri"]
        say("MLflow", f"{mlflow}  (takes a few seconds to start; the job waits for it)")
        job_id = upload(url)
        say("Upload", f"{SCRIPT.relative_to(HERE.parent)} is job {job_id}")
        try:
            job = follow(url, job_id, interrupts)
        except (Interrupted, DemoFailed):
            with suppress(DemoFailed):  # it may have finished meanwhile
                cancel(url, job_id)
            raise
        show(url, mlflow, job)
        if EXIT_AT_END:
            return
        look_around(url, mlflow, job)
        print("\nPress Ctrl-C to stop.", flush=True)
        while not interrupts.received:
            time.sleep(POLL_SECONDS)


def main() -> int:
    interrupts = Interrupts()
    try:
        run(interrupts)
    except Interrupted:
        return 130 if EXIT_AT_END else 0
    except DemoFailed as failure:
        print(f"\n{failure}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
