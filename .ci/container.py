"""What `docker run --network host --volume …` would start, with util-linux alone, as root."""

import os
import signal
import socket
import subprocess
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NoReturn

HEALTHY_WITHIN_SECONDS = 60
STOP_WITHIN_SECONDS = 60
NAMESPACES = ("unshare", "--mount", "--pid", "--fork", "--kill-child", "--mount-proc")

# $1 the root, $2 the volume's files, $3 where the volume is; the rest is a command. Nothing but the
# volume and /tmp can be written to: as with docker run --read-only --tmpfs /tmp.
MOUNTS = """
root=$1 volume=$2 where=$3; shift 3
touch "$root/etc/hosts" "$root/etc/resolv.conf"
mount --bind "$root" "$root"
mount -o remount,bind,ro "$root"
mount --bind "$volume" "$root$where"
mount -t tmpfs -o mode=1777 tmp "$root/tmp"
mount --bind /etc/hosts "$root/etc/hosts"
mount --bind /etc/resolv.conf "$root/etc/resolv.conf"
mount -t tmpfs -o mode=755 dev "$root/dev"
for node in null zero full random urandom tty; do
    touch "$root/dev/$node"
    mount --bind "/dev/$node" "$root/dev/$node"
done
ln -s /proc/self/fd "$root/dev/fd"
mkdir "$root/dev/shm"
mount -t tmpfs -o mode=1777 shm "$root/dev/shm"
exec "$@"
"""


def run(*command: str | Path, env: Mapping[str, str] | None = None) -> str:
    """Its standard output.

    Raises:
        SystemExit: it failed; with the end of what it printed.
    """
    done = subprocess.run(
        command, check=False, stdin=subprocess.DEVNULL, capture_output=True, text=True, env=env
    )
    if done.returncode != 0:
        said = "\n".join((done.stdout + done.stderr).splitlines()[-60:])
        raise SystemExit(f"{' '.join(map(str, command))} failed ({done.returncode}):\n{said}")
    return done.stdout


class Container:
    """Root directory, volume and settings; `config` is the image's, as Docker writes it."""

    def __init__(self, root: Path, config: Mapping[str, Any], workplace: Path) -> None:
        self.root = root
        self.config = config
        self.log = workplace / "container.log"
        self.volume = workplace / "volume"
        (self.where,) = config["Volumes"]
        # a new volume begins with what the image has there, its owner and its mode
        run("cp", "--archive", root / self.where.strip("/"), self.volume)
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            port = probe.getsockname()[1]
        self.url = f"http://127.0.0.1:{port}"
        # others may have the default ports on the host's network
        self.environ = dict(entry.split("=", 1) for entry in config["Env"])
        self.environ |= {"ASGARD_SERVER__PORT": str(port), "ASGARD_MLFLOW__PORT": "0"}
        # on the host's network, loopback is enough, and needs no token
        self.environ |= {"ASGARD_SERVER__HOST": "127.0.0.1"}
        self.uid, gid = config["User"].split(":")
        self.identity = (f"--setuid={self.uid}", f"--setgid={gid}")

    def start(self) -> "RunningContainer":
        """Start it and wait until the image's health check succeeds."""
        command = [*self.config["Entrypoint"], *self.config["Cmd"]]
        with self.log.open("ab") as log:
            process = subprocess.Popen(
                # two calls of unshare: the mounts are made as root, in the outer namespace
                [
                    *("unshare", "--mount", "sh", "-ec", MOUNTS, "sh"),
                    *(self.root, self.volume, self.where),
                    *(*NAMESPACES, "--ipc", f"--root={self.root}", "--wd=/", *self.identity),
                    *("--", *command),
                ],
                env=self.environ,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
            )
        running = RunningContainer(self, process)
        running.wait_until_healthy()
        running.check_identity()
        return running


class RunningContainer:
    def __init__(self, container: Container, process: subprocess.Popen[bytes]) -> None:
        self._container = container
        self._process = process

    def wait_until_healthy(self) -> None:
        kind, *check = self._container.config["Healthcheck"]["Test"]
        if kind != "CMD":
            raise SystemExit(f"this test knows health checks of kind CMD, not {kind}")
        deadline = time.monotonic() + HEALTHY_WITHIN_SECONDS
        while not self._succeeds(check):
            if self._process.poll() is not None or time.monotonic() > deadline:
                self._fail("the container did not become healthy")
            time.sleep(0.1)

    def _init(self) -> int | None:
        """Process 1 of the container, as it is called out here: the one child of `unshare`."""
        pid = self._process.pid
        try:
            return int(Path(f"/proc/{pid}/task/{pid}/children").read_text())
        except (OSError, ValueError):
            return None

    def _succeeds(self, command: Sequence[str]) -> bool:
        """Run a command in the container, as `docker exec` would."""
        init = self._init()
        if init is None:
            return False
        target = (f"--target={init}", "--mount", "--pid", "--ipc", "--root", "--wd")
        done = subprocess.run(
            ["nsenter", *target, *self._container.identity, "--", *command],
            check=False,
            env=self._container.environ,
            stdin=subprocess.DEVNULL,
            capture_output=True,
        )
        return done.returncode == 0

    def check_identity(self) -> None:
        """Process 1 must be tini, of the image's user, who is not root, without any capability."""
        text = Path(f"/proc/{self._init()}/status").read_text()
        status = dict(line.split(":\t", 1) for line in text.splitlines())
        uids, pid = set(status["Uid"].split()), status["NSpid"].split()[-1]
        found = (status["Name"], pid, uids, int(status["CapEff"], 16))
        if found != ("tini", "1", {self._container.uid}, 0) or "0" in uids:
            self._fail(f"process 1 is not tini without rights, but {found}")

    def stop(self) -> None:
        """SIGTERM, as `docker stop` sends it: all must end well, and by itself."""
        init = self._init()
        if init is None:
            self._fail("the container ended before it was stopped")
        os.kill(init, signal.SIGTERM)
        try:
            code = self._process.wait(STOP_WITHIN_SECONDS)
        except subprocess.TimeoutExpired:
            self._fail("SIGTERM did not end the container")
        if code != 0:
            self._fail(f"the container ended with {code}")
        # the end of process 1 kills what is left, but nobody writes down the end of that
        started = {path.parent for path in self._container.volume.rglob("pid.json")}
        ended = {path.parent for path in self._container.volume.rglob("exit.json")}
        if not started or started - ended:
            self._fail(f"of {started} these still ran at the end: {started - ended}")

    def _fail(self, what: str) -> NoReturn:
        raise SystemExit(f"{what}:\n{self._container.log.read_text(errors='replace')}")
