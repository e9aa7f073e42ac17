"""Build the image, start it as a container would be, run the 13 checks against it, and stop it.

Without Docker: debootstrap makes the base, buildah builds over it, and `unshare` starts what the
image says, as its user, with its volume, in its own root, processes and IPC, on the host's network.
All of it happens in a mount and a process namespace of the test's own: whatever goes wrong, nothing
stays mounted or running, and all files are in one temporary directory.

Needs root and Debian's tools; installs buildah and debootstrap when they are missing. Ends with 77
where the machine does not allow it, which is not a failure of the image.
"""

import contextlib
import hashlib
import json
import os
import platform
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, NoReturn

from commands import CHECKOUT
from container import NAMESPACES, Container, run
from report_checks import run_report_checks

CACHE_VARIABLE = "ASGARD_IMAGE_TEST_CACHE"
"""Where the base is kept between runs; by default .image-base in the checkout."""

SKIPPED = 77
NEEDED_GB = 5
SUITE = "bookworm"
BASE_PACKAGES = ("ca-certificates", "python3", "python3-venv")
CERTIFICATES = Path("/etc/ssl/certs/ca-certificates.crt")


def skip(reason: str) -> NoReturn:
    print(f"\n*** image-test SKIPPED, the image was NOT tested: {reason}", file=sys.stderr)
    raise SystemExit(SKIPPED)


@contextlib.contextmanager
def step(name: str) -> Iterator[None]:
    began = time.monotonic()
    yield
    print(f"{name}: {time.monotonic() - began:.1f} s", flush=True)


# --- what the machine must have and allow ----------------------------------------------------


def check_machine(workplace: Path) -> None:
    if os.geteuid() != 0:
        skip("it mounts and changes root, so it needs root: sudo make image-test")
    if missing := [tool for tool in ("unshare", "nsenter", "mount") if not shutil.which(tool)]:
        skip(f"{', '.join(missing)} missing: apt-get install util-linux mount")
    probe = 'mount -t tmpfs none "$1" && chroot / true && mknod "$2" c 1 3 && : > "$2"'
    (workplace / "mount").mkdir()
    tried = subprocess.run(
        [*NAMESPACES, "sh", "-ec", probe, "sh", workplace / "mount", workplace / "null"],
        check=False,
        capture_output=True,
        text=True,
    )
    if tried.returncode != 0:
        skip(
            "this machine forbids namespaces, mounts, chroot or device nodes"
            f" (a container needs CAP_SYS_ADMIN for them): {tried.stderr.strip()}"
        )
    if (free := shutil.disk_usage(workplace).free / 1e9) < NEEDED_GB:
        skip(f"{workplace} has {free:.1f} GB left, {NEEDED_GB} are needed; TMPDIR names another")


def install_tools() -> None:
    missing = [tool for tool in ("buildah", "debootstrap") if not shutil.which(tool)]
    if not missing:
        return
    if not shutil.which("apt-get"):
        skip(f"{', '.join(missing)} missing, and no apt-get here to install them")
    with step(f"apt-get install {' '.join(missing)}"):
        quiet = os.environ | {"DEBIAN_FRONTEND": "noninteractive"}
        run("apt-get", "update", "-qq", env=quiet)
        run("apt-get", "install", "-y", "-qq", "--no-install-recommends", *missing, env=quiet)


# --- the image -------------------------------------------------------------------------------


class Builder:
    """buildah with a storage of its own, which goes with the directory."""

    def __init__(self, workplace: Path) -> None:
        self._workplace = workplace
        self._environ = os.environ | {"TMPDIR": str(workplace), "BUILDAH_ISOLATION": "chroot"}

    def __call__(self, *arguments: str | Path) -> str:
        storage = ("--root", self._workplace / "storage", "--runroot", self._workplace / "run")
        command = ("buildah", "--storage-driver", "vfs", *storage, *arguments)
        return run(*command, env=self._environ).strip()

    def make_base(self, archive: Path) -> str:
        """An image of Debian with Python; it trusts the authorities that this machine trusts."""
        container = self("from", "scratch")
        self("add", "--quiet", container, archive, "/")
        if CERTIFICATES.exists():
            self("copy", "--quiet", container, CERTIFICATES, str(CERTIFICATES))
            # uv and Python's ssl read it from here alone
            self("config", "--env", f"SSL_CERT_FILE={CERTIFICATES}", container)
        return self("commit", "--quiet", "--rm", container, "localhost/base")

    def build(self, base: str) -> str:
        # OCI's own format has no health check
        options = ("--format", "docker", "--pull-never", "--quiet", "--build-arg", f"BASE={base}")
        return self("build", *options, "--tag", "localhost/asgard", CHECKOUT)

    def unpack(self, image: str) -> Path:
        """The root directory of a new container."""
        return Path(self("mount", self("from", "--pull-never", image)))

    def config_of(self, image: str) -> dict[str, Any]:
        config: dict[str, Any] = json.loads(self("inspect", "--type", "image", image))["Docker"]
        return config


def base_archive(workplace: Path) -> Path:
    """Debian with Python as a tar file, from the cache or made now."""
    cache = Path(os.environ.get(CACHE_VARIABLE) or CHECKOUT / ".image-base")
    key = hashlib.sha256(" ".join(BASE_PACKAGES).encode()).hexdigest()[:8]
    archive = cache / f"{SUITE}-{platform.machine()}-{key}.tar"
    if archive.exists():
        print(f"base: {archive}")
        return archive
    with step(f"debootstrap {SUITE}"):
        root = workplace / "debian"
        packages = f"--include={','.join(BASE_PACKAGES)}"
        run("debootstrap", "--variant=minbase", packages, SUITE, root)
        run("chroot", root, "apt-get", "clean")
        cache.mkdir(parents=True, exist_ok=True)
        unfinished = archive.with_suffix(f".{os.getpid()}")
        run("tar", "--create", "--numeric-owner", "--file", unfinished, "--directory", root, ".")
        unfinished.rename(archive)
    return archive


def check_image(root: Path, config: Mapping[str, Any]) -> None:
    size = sum(path.lstat().st_size for path in root.rglob("*") if path.is_file())
    print(f"image: {size / 1e6:.0f} MB, {len(config['rootfs']['diff_ids'])} layers")
    for path in ("opt/build", "opt/asgard/bin/pip", "src", "wheels", "usr/bin/gcc"):
        if (root / path).exists():
            raise SystemExit(f"/{path} was left in the image")


# --- the test ----------------------------------------------------------------------------------


def job_ids(url: str) -> list[str]:
    with urllib.request.urlopen(f"{url}/mlops/training/jobs") as answer:
        return [job["job_id"] for job in json.load(answer)["jobs"]]


def build_and_try(workplace: Path) -> None:
    builder = Builder(workplace)
    archive = base_archive(workplace)
    with step("base image"):
        base = builder.make_base(archive)
    with step("buildah build"):
        image = builder.build(base)
    with step("unpack"):
        root = builder.unpack(image)
    about = builder.config_of(image)
    check_image(root, about)
    container = Container(root, about["config"], workplace)
    with step("start, until healthy"):
        running = container.start()
    with step("13 checks"):
        run_report_checks(container.url)
    jobs = job_ids(container.url)
    with step("SIGTERM, until ended"):
        running.stop()
    with step("start again, until healthy"):
        running = container.start()
    if not jobs or job_ids(container.url) != jobs:
        raise SystemExit(f"the volume lost jobs: {jobs}, now {job_ids(container.url)}")
    running.stop()


# --- namespaces, and the clean-up -------------------------------------------------------------


def main() -> None:
    if sys.argv[1:2] == ["--inside"]:
        build_and_try(Path(sys.argv[2]))
        return
    # an exit, so that the clean-up below runs
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    workplace = Path(tempfile.mkdtemp(prefix="asgard-image-"))
    began = time.monotonic()
    try:
        check_machine(workplace)
        install_tools()
        inside = [*NAMESPACES, sys.executable, __file__, "--inside", str(workplace)]
        code = subprocess.run(inside, check=False, stdin=subprocess.DEVNULL).returncode
    finally:
        for number in (signal.SIGTERM, signal.SIGINT):  # a second one would stop half-way
            signal.signal(number, signal.SIG_IGN)
        run("rm", "-rf", "--one-file-system", str(workplace))
    if code != 0:
        raise SystemExit(code)
    print(f"The image builds and runs: {time.monotonic() - began:.0f} s in all.")


if __name__ == "__main__":
    main()
