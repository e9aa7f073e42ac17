"""Boot Debian in a virtual machine, and try there what a container cannot show: systemd, control
groups of version 2, Debian's kernel, and reboots.

debootstrap makes the disk, with a kernel and an environment with Asgard's dependencies; it is kept
in .vm. Each run boots a snapshot of it, with a second disk of its own: the wheel, the tests and the
checks (`vm_guest.py`). The machine has no network. Its results come over a serial port, and are
written to docs/vm-test.md.

Needs root, and Debian's packages, which it installs. Ends with 77 where the machine does not allow
it.
"""

import argparse
import configparser
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
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, NoReturn

from commands import CHECKOUT
from container import NAMESPACES, run

SKIPPED = 77
SUITE = "bookworm"
PACKAGES = (
    *("systemd", "systemd-sysv", "dbus", "dbus-user-session", "libpam-systemd", "procps"),
    "ca-certificates",
    *("python3", "python3-venv", "linux-image-cloud-amd64", "initramfs-tools"),
)
TOOLS = {
    "qemu-system-x86_64": "qemu-system-x86",
    "debootstrap": "debootstrap",
    "mkfs.ext4": "e2fsprogs",
    "unshare": "util-linux",
}
NEEDED_GB = 10
STAGES = (
    "service training user-service namespaces reboot"
    " limits limits-user sandbox sandbox-user namespaces-suite"
)
CERTIFICATES = Path("/etc/ssl/certs/ca-certificates.crt")
DOCUMENT = CHECKOUT / "docs" / "vm-test.md"
PAYLOAD = (
    "tests",
    "pyproject.toml",
    "setup.cfg",
    "config.toml",
    "migrations",
    "contrib",
    "examples",
)
GUEST_FILES = ("vm_guest.py", "vm_service.py", "vm_suites.py")
TRIAL_SECONDS = 20
BOOT_SECONDS = 300
LONGEST_DETAIL = 1000
KERNEL_ARGUMENTS = "root=/dev/vda rw console=ttyS0 panic=-1 systemd.unit=multi-user.target"
UNIT = """
[Unit]
After=multi-user.target
[Service]
Environment=PYTHONPATH=/payload PYTHONDONTWRITEBYTECODE=1
ExecStart=/opt/asgard/bin/python /payload/vm_guest.py
StandardOutput=journal+console
[Install]
WantedBy=multi-user.target
"""
# $1 the directory of the new system, $2 the suite, $3 packages, $4 uv, $5 requirements
MAKE_SYSTEM = """
debootstrap --variant=minbase --include="$3" "$2" "$1"
cp /etc/resolv.conf "$1/etc/resolv.conf"
[ ! -e "$6" ] || cp "$6" "$1$6"
cp "$4" "$1/tmp/uv"
printf %s "$5" > "$1/tmp/requirements"
chroot "$1" python3 -m venv --without-pip /opt/asgard
chroot "$1" /tmp/uv pip install --python /opt/asgard/bin/python --no-cache --compile-bytecode \
    --requirements /tmp/requirements
rm "$1/tmp/uv" "$1/tmp/requirements" "$1/etc/resolv.conf"
chroot "$1" apt-get clean
chroot "$1" useradd --create-home --shell /bin/sh user
chroot "$1" passwd --delete --quiet root
echo asgard-vm > "$1/etc/hostname"
echo '127.0.0.1 localhost asgard-vm' > "$1/etc/hosts"
echo '/dev/vdb /payload ext4 defaults 0 0' > "$1/etc/fstab"
mkdir "$1/payload"
printf %s "$7" > "$1/etc/systemd/system/asgard-vm-test.service"
chroot "$1" systemctl --quiet enable asgard-vm-test
chroot "$1" systemctl --quiet mask apt-daily.timer apt-daily-upgrade.timer
"""


def skip(reason: str) -> NoReturn:
    print(f"\n*** vm-test SKIPPED, nothing was tested: {reason}", file=sys.stderr)
    raise SystemExit(SKIPPED)


def check_machine(workplace: Path) -> None:
    if platform.machine() != "x86_64":
        skip("it boots an x86-64 kernel")
    if os.geteuid() != 0:
        skip("debootstrap and the disk's owners need root: sudo make vm-test")
    if missing := {package for tool, package in TOOLS.items() if not shutil.which(tool)}:
        if not shutil.which("apt-get"):
            skip(f"install {', '.join(sorted(missing))}")
        quiet = os.environ | {"DEBIAN_FRONTEND": "noninteractive"}
        run("apt-get", "update", "-qq", env=quiet)
        run("apt-get", "install", "-y", "-qq", "--no-install-recommends", *missing, env=quiet)
    if (free := shutil.disk_usage(workplace).free / 1e9) < NEEDED_GB:
        skip(f"{workplace} has {free:.1f} GB left, {NEEDED_GB} are needed; TMPDIR names another")


# --- the disks -------------------------------------------------------------------------------


def requirements() -> str:
    """What Asgard and its tests need, one per line."""
    metadata = configparser.ConfigParser(interpolation=None)
    metadata.read(CHECKOUT / "setup.cfg")
    extras = metadata["options.extras_require"]
    test = extras["test"].replace("%(s3)s", extras["s3"])
    return metadata["options"]["install_requires"] + test + "\n"


def system_disk(workplace: Path) -> Path:
    """A directory with `disk`, `vmlinuz` and `initrd.img`; kept while nothing of it changes."""
    recipe = (SUITE, *PACKAGES, requirements(), UNIT, MAKE_SYSTEM)
    key = hashlib.sha256("\n".join(recipe).encode()).hexdigest()[:8]
    kept = CHECKOUT / ".vm" / f"{SUITE}-{key}"
    if kept.exists():
        return kept
    print("making the machine's disk, which takes minutes", flush=True)
    root, unfinished = workplace / "root", kept.with_suffix(f".{os.getpid()}")
    uv = Path(sys.executable).with_name("uv")
    arguments = (root, SUITE, ",".join(PACKAGES), uv, requirements(), CERTIFICATES, UNIT)
    environ = os.environ | ({"SSL_CERT_FILE": str(CERTIFICATES)} if CERTIFICATES.exists() else {})
    run(*NAMESPACES, "sh", "-ec", MAKE_SYSTEM, "sh", *arguments, env=environ)
    unfinished.mkdir(parents=True)
    for name in ("vmlinuz", "initrd.img"):
        (found,) = (root / "boot").glob(f"{name}-*")
        shutil.copy(found, unfinished / name)
    make_disk(root, unfinished / "disk", "6G")
    shutil.rmtree(root)
    unfinished.rename(kept)
    return kept


def make_disk(content: Path, disk: Path, size: str) -> None:
    run("mkfs.ext4", "-q", "-E", "root_owner=0:0", "-d", content, disk, size)


def payload_disk(workplace: Path, stages: str) -> Path:
    content = workplace / "payload"
    content.mkdir()
    run(sys.executable, "-m", "build", "--wheel", "--outdir", content, CHECKOUT)
    for name in PAYLOAD:
        source, target = CHECKOUT / name, content / name
        if source.is_dir():
            shutil.copytree(source, target, ignore=shutil.ignore_patterns("__pycache__"))
        else:
            shutil.copy(source, target)
    for name in GUEST_FILES:
        shutil.copy(CHECKOUT / ".ci" / name, content)
    (content / "stages").write_text(stages)
    run("chmod", "-R", "a+rX,go-w", content)
    run("chown", "-R", "0:0", content)
    make_disk(content, workplace / "payload.ext4", "256M")
    return workplace / "payload.ext4"


# --- the machine -----------------------------------------------------------------------------


def accelerator(system: Path) -> tuple[str, str]:
    """Return KVM and a processor on which the kernel starts, or emulation."""
    trial = ("-m", "512", "-nographic", "-nic", "none", "-no-reboot", "-kernel", system / "vmlinuz")
    for processor in ("host", "qemu64") if os.access("/dev/kvm", os.W_OK) else ():
        command = ("-accel", "kvm", "-cpu", processor, *trial, "-append", "console=ttyS0 panic=-1")
        try:
            tried = subprocess.run(
                ["qemu-system-x86_64", *map(str, command)],
                check=False,
                stdin=subprocess.DEVNULL,
                capture_output=True,
                timeout=TRIAL_SECONDS,
            )
        except subprocess.TimeoutExpired:
            continue
        if b"Kernel panic" in tried.stdout:
            return "kvm", processor
    return "tcg,thread=multi", "max"


def boot(
    system: Path, payload: Path, workplace: Path, how: tuple[str, str]
) -> subprocess.Popen[bytes]:
    disks = [(system / "disk", "vda"), (payload, "vdb")]
    drives = (f"file={file},format=raw,if=virtio,snapshot=on" for file, _ in disks)
    return subprocess.Popen(
        [
            *("qemu-system-x86_64", "-accel", how[0], "-cpu", how[1], "-smp", "2", "-m", "3072"),
            *("-display", "none", "-nic", "none", "-device", "virtio-rng-pci"),
            *("-kernel", str(system / "vmlinuz"), "-initrd", str(system / "initrd.img")),
            *("-append", KERNEL_ARGUMENTS),
            *(word for drive in drives for word in ("-drive", drive)),
            *(
                "-serial",
                f"file:{workplace / 'console'}",
                "-serial",
                f"file:{workplace / 'results'}",
            ),
        ],
        stdin=subprocess.DEVNULL,
        env=os.environ | {"TMPDIR": str(workplace)},  # for the snapshots
    )


def results(
    machine: subprocess.Popen[bytes], file: Path, seconds: float
) -> Iterator[dict[str, Any]]:
    """Yield each result as it comes.

    Raises:
        SystemExit: the machine ended, or did not boot or end, in time.
    """
    deadline, seen, booted = time.monotonic() + seconds, 0, time.monotonic() + BOOT_SECONDS
    while True:
        lines = file.read_text(errors="replace").split("\n")[:-1] if file.exists() else []
        for line in lines[seen:]:
            result = json.loads(line)
            if result.get("end"):
                return
            yield result
        seen = len(lines)
        if machine.poll() is not None:
            raise SystemExit("the machine ended before its checks did")
        if time.monotonic() > (deadline if seen else booted):
            raise SystemExit("the machine did not boot in time" if not seen else "not done in time")
        time.sleep(0.5)


def report(facts: Mapping[str, str], checks: list[dict[str, Any]]) -> str:
    """The page of the documentation."""
    date = time.strftime("%Y-%m-%d", time.gmtime())
    lines = [
        "# The service on a real machine",
        "",
        "`make vm-test` boots Debian in a virtual machine, on a disk made by debootstrap, and runs",
        "these checks there. This page is the output of its last run.",
        "",
        *(f"- {name}: {value}" for name, value in {"Date": date, **facts}.items()),
        "",
        "| check | result | seconds | details |",
        "|---|---|---|---|",
    ]
    for one in checks:
        words = [one.get("detail", ""), *one.get("error", "").strip().splitlines()[-1:]]
        detail = " ".join(filter(None, words))[:LONGEST_DETAIL].replace("|", "\\|")
        result = "passed" if one["ok"] else "**failed**"
        lines.append(f"| {one['check']} | {result} | {one['seconds']} | {detail} |")
    return "\n".join(lines) + "\n"


def test(workplace: Path, arguments: argparse.Namespace) -> int:
    check_machine(workplace)
    commit = run("git", "-C", CHECKOUT, "describe", "--always", "--dirty").strip()
    system = system_disk(workplace)
    payload = payload_disk(workplace, arguments.stages)
    how = accelerator(system)
    print(f"booting with {how[0]}", flush=True)
    machine = boot(system, payload, workplace, how)
    facts = {"Commit": commit, "Stages": arguments.stages, "Machine": f"QEMU, {how[0]}"}
    checks: list[dict[str, Any]] = []
    try:
        for result in results(machine, workplace / "results", arguments.seconds):
            if "facts" in result:
                facts |= result["facts"]
                continue
            checks.append(result)
            print("ok  " if result["ok"] else "FAIL", f"{result['check']} ({result['seconds']} s)")
            print(
                f"     {result.get('detail', '')}\n{result.get('error', '')}".rstrip(), flush=True
            )
        machine.wait(BOOT_SECONDS)
    except SystemExit as error:
        facts["Stopped"] = f"{error}; checks that are not listed did not run"
        raise
    finally:
        machine.kill()
        machine.wait()
        shutil.copy(workplace / "console", CHECKOUT / ".vm" / "console.log")
        if checks and (arguments.record or arguments.stages == STAGES):
            DOCUMENT.write_text(report(facts, checks))
    failed = [one["check"] for one in checks if not one["ok"]]
    print(f"{len(checks) - len(failed)} of {len(checks)} checks hold")
    return 1 if failed or not checks else 0


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--stages", default=STAGES, help="run some stages only, by name")
    parser.add_argument(
        "--record", action="store_true", help="write docs/vm-test.md, as a full run"
    )
    parser.add_argument("--seconds", type=float, default=10_800, help="time limit of the checks")
    arguments = parser.parse_args()
    # an exit, so that the clean-up below runs
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    with tempfile.TemporaryDirectory(prefix="asgard-vm-") as directory:
        raise SystemExit(test(Path(directory), arguments))


if __name__ == "__main__":
    main()
