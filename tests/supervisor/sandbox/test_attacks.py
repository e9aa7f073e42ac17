"""Attacks of jobs at level `sandbox`, cold and warm, on services run by root and by another user.

Each script prints a line for each attack; BROKEN if it succeeded.
"""

import contextlib
import os
from pathlib import Path

import pytest

from tests.supervisor.sandbox.conftest import Target
from tests.support.attack_scripts import FIND_CANARY
from tests.support.eventually import eventually
from tests.support.processes import processes_with
from tests.support.service_users import IS_ROOT

pytestmark = [pytest.mark.service, pytest.mark.asyncio(loop_scope="module")]


async def test_files_of_the_service_are_hidden(target: Target) -> None:
    script = """
data = os.environ["DATA_DIR"]
for name in ("asgard.db", "asgard.db-wal", "tokens.json", "audit.log", "service.lock", "mlflow",
             "archives", "environments", "warm/base/home", "uids", "cache/uv"):
    attack(name, lambda: os.stat(f"{data}/{name}"))
attack("config", lambda: open(os.environ["CONFIG"]).read())
attack("other jobs", lambda: [name for name in os.listdir(f"{data}/jobs")
                              if name != os.environ["ASGARD_JOB_ID"]] or 1 / 0)
attack("the job's log", lambda: open("../../../job.log").read())
attack("the shim's files", lambda: open("../pid.json").read())
attack("the lock", lambda: os.remove("../lock"))
attack("the end", lambda: open("../exit.json", "w"))
"""
    output = await target.attacked(script, CONFIG=str(target.config))
    assert output.count("held") == 17


async def test_shared_directories_hide_private_files(
    target: Target,
) -> None:
    script = """
shared = os.environ["SHARED"]
print(open(f"{shared}/data_set").read())
attack("writing", lambda: open(f"{shared}/data_set", "a"))
attack("config", lambda: open(f"{shared}/asgard.toml").read())
attack("database", lambda: os.stat(f"{shared}/data/asgard.db"))
"""
    output = await target.attacked(script, SHARED=str(target.shared))
    assert "1,2,3" in output
    assert output.count("held") == 3


async def test_secrets_of_the_service_are_not_found(target: Target) -> None:
    script = """
canary = os.environ["CANARY_REVERSED"][::-1].encode()
attack("own variables", lambda: [n for n, v in os.environb.items() if canary in v] or 1 / 0)
"""
    assert "seen True" in await target.attacked(script + FIND_CANARY)


async def test_files_and_processes_of_other_jobs_are_hidden(target: Target) -> None:
    victim = await target.submit(
        "open('secret', 'w').write('x'); print(os.getcwd()); time.sleep(600)", SECRET="hidden-away"
    )
    await target.service.says(victim, "/work")
    path = (await target.service.job(victim))["logs"].strip()
    script = """
path = os.environ["VICTIM"]
attack("its directory", lambda: os.listdir(path))
attack("its file", lambda: open(f"{path}/secret").read())
attack("its log", lambda: open(f"{path}/../../../job.log").read())
for name in os.listdir("/proc"):
    if name.isdigit() and name != str(os.getpid()):
        attack(f"variables of {name}", lambda: open(f"/proc/{name}/environ").read())
"""
    output = await target.attacked(script, VICTIM=path)
    assert output.count("held") == 4
    await target.service.post(f"/mlops/training/jobs/{victim}/cancel")
    await target.service.finished(victim)


async def test_processes_outside_are_out_of_reach(target: Target) -> None:
    script = """
own = str(os.getpid())
print(sorted(name for name in os.listdir("/proc") if name.isdigit()))
PTRACE_ATTACH, CLONE_NEWNS = 16, 0x20000
for pid in (1, int(os.environ["SERVICE_PID"]), os.getppid() or 1):
    attack("ptrace", lambda: call("ptrace", PTRACE_ATTACH, pid, None, None))
    for name in ("environ", "mem", "maps", "root", "cwd", "fd", "ns/mnt"):
        path = f"/proc/{pid}/{name}"
        look = os.listdir if name in {"root", "cwd", "fd"} else lambda path: open(path).read(1)
        attack(path, lambda: look(path))
attack("signal", lambda: os.kill(int(os.environ["SERVICE_PID"]), 0))
attack("pidfd", lambda: os.pidfd_open(int(os.environ["SERVICE_PID"])))
attack("priority", lambda: os.setpriority(os.PRIO_PROCESS, int(os.environ["SERVICE_PID"]), 19))
"""
    output = await target.attacked(script)
    assert "['1', '2']" in output
    assert output.count("held") == 27


async def test_the_init_of_its_namespace_cannot_be_stopped(target: Target) -> None:
    script = """
for number in range(1, signal.SIGRTMAX + 1):
    try:
        os.kill(1, number)
    except OSError:
        pass
try:
    os.kill(-1, signal.SIGKILL)
except OSError:
    pass
time.sleep(0.2)
child = subprocess.Popen(["/bin/sh", "-c", "exit 3"])
print("code", child.wait())
print("state", open("/proc/1/stat").read().split()[2])
"""
    output = await target.attacked(script)
    assert "code 3" in output
    assert "state S" in output


async def test_nothing_is_written_outside_its_own_directories(target: Target) -> None:
    script = """
for path in ("/x", "/etc/x", "/usr/x", "/opt/x", "/var/x", "/run/x", "/sys/x", "/proc/x", "/home/x",
             f"{sys.prefix}/x", f"{sys.base_prefix}/x", f"{os.path.dirname(os.__file__)}/os.py",
             f"{os.environ['DATA_DIR']}/x", "../x", "../../x", "../../../job.log",
             "/proc/sys/kernel/core_pattern", "/proc/sys/kernel/hostname", "/proc/sysrq-trigger",
             "/proc/sys/vm/drop_caches", "/proc/1/oom_score_adj", "/sys/power/state"):
    attack(path, lambda: open(path, "a"))
attack("a mode", lambda: os.chmod(os.__file__, 0o777))
attack("its directory away", lambda: os.rename(os.getcwd(), os.getcwd() + "2"))
for place in (".", os.environ["HOME"], os.environ["TMPDIR"], "/tmp", "/var/tmp", "/dev/shm",
              os.environ["XDG_CACHE_HOME"]):
    with open(f"{place}/mine", "w") as file:
        file.write("x")
print("own places are written")
"""
    output = await target.attacked(script)
    assert output.count("held") == 24
    assert "own places are written" in output


async def test_privileges_are_dropped_for_good(target: Target) -> None:
    script = """
status = dict(line.split(":", 1) for line in open("/proc/self/status"))
for name in ("CapInh", "CapPrm", "CapEff", "CapBnd", "CapAmb"):
    attack(name, lambda: int(status[name], 16) or 1 / 0)
print("no new privileges", status["NoNewPrivs"].strip())
attack("uid", lambda: os.setuid(0))
attack("groups", lambda: os.setgroups([0]))
attack("mount", lambda: call("mount", b"none", b"/tmp", b"tmpfs", 0, None))
attack("umount", lambda: call("umount2", b"/tmp", 2))
attack("chroot", lambda: os.chroot("/tmp"))
attack("device", lambda: os.mknod("disk", 0o60666, os.makedev(8, 0)))
attack("host name", lambda: call("sethostname", b"x", 1))
attack("clock", lambda: time.clock_settime(time.CLOCK_REALTIME, time.time()))
for number, path in ((7, "/dev/kmsg"), (8, "/dev/mem"), (9, "/dev/sda"), (10, "/dev/vda")):
    attack(path, lambda: open(path))
"""
    output = await target.attacked(script)
    assert output.count("held") == 17
    assert "no new privileges 1" in output


async def test_new_namespaces_uncover_nothing(target: Target) -> None:
    script = """
CLONE_NEWNS, CLONE_NEWUSER = 0x20000, 0x10000000
MS_REMOUNT, MS_BIND = 32, 4096
uid = os.getuid()
# it is refused in any case with threads, which libraries may start
if child := os.fork():
    os.waitpid(child, 0)
    sys.exit()
made = libc.unshare(CLONE_NEWUSER | CLONE_NEWNS) == 0
print("made", made)
if made:
    for name, text in (("setgroups", "deny"), ("uid_map", f"0 {uid} 1"), ("gid_map", f"0 {uid} 1")):
        try:
            open(f"/proc/self/{name}", "w").write(text)
        except OSError:
            pass
for place in (b"/", b"/usr", b"/proc/sys", b"/sys", sys.prefix.encode()):
    attack(f"remount {place}", lambda: call(
        "mount", b"none", place, None, ctypes.c_ulong(MS_REMOUNT | MS_BIND), None))
for place in (b"/tmp", b"/dev", b"/proc/sys", os.getcwd().encode()):
    attack(f"umount {place}", lambda: call("umount2", place, 2))
attack("core pattern", lambda: open("/proc/sys/kernel/core_pattern", "w"))
attack("database", lambda: os.stat(os.environ["DATA_DIR"] + "/asgard.db"))
"""
    output = await target.attacked(script)
    assert output.count("held") == 11
    # for a root service, the limit would be that of the whole machine
    is_roots = (target.service.data_dir.stat().st_uid == 0) if IS_ROOT else False
    assert f"made {is_roots}" in output


async def test_shared_memory_and_queues_are_private(target: Target) -> None:
    outside = str(Path("/proc/self/ns/ipc").readlink())
    script = """
attack("ipc", lambda: os.readlink("/proc/self/ns/ipc") == os.environ["OUTSIDE"] or 1 / 0)
attack("segments", lambda: open("/proc/sysvipc/shm").read().splitlines()[1:] or 1 / 0)
attack("shared memory", lambda: os.listdir("/dev/shm") or 1 / 0)
# mount points of the job's directory and of the interpreter, which may lie below /tmp
mounted = [f"{path}/" for path in (os.getcwd(), sys.prefix, sys.base_prefix, *sys.path)]
def is_of_others(name):
    return not any(path.startswith(f"/tmp/{name}/") for path in mounted)
attack("files of others", lambda: list(filter(is_of_others, os.listdir("/tmp"))) or 1 / 0)
"""
    assert (await target.attacked(script, OUTSIDE=outside)).count("held") == 4


async def test_the_service_follows_no_planted_links(target: Target) -> None:
    script = """
import shutil
data = os.environ["DATA_DIR"]
for number, path in enumerate((data, f"{data}/asgard.db", "/etc/passwd", "/")):
    os.symlink(path, f"link{number}")
os.chdir("/")
for name in ("HOME", "TMPDIR"):
    place = os.environ[name]
    attack(name, lambda: (os.rmdir(place), os.symlink(data, place)))
"""
    job_id = await target.submit(script)
    job = await target.service.finished(job_id)
    assert "BROKEN" not in job["logs"]
    status, _ = await target.service.request("DELETE", f"/mlops/training/jobs/{job_id}")
    assert status == 204
    assert (target.service.data_dir / "asgard.db").exists()
    assert not (target.service.data_dir / "jobs" / job_id).exists()


HIDING = """
mark = os.environ["MARK"]
waiting = "import signal, time\\nsignal.signal(15, signal.SIG_IGN)\\ntime.sleep(600)"
for hide in range(4):
    if os.fork() == 0:
        signal.signal(15, signal.SIG_IGN)
        if hide: os.setsid()
        if hide > 1 and os.fork(): os._exit(0)
        environment = {} if hide > 2 else dict(os.environ)
        os.execve(sys.executable, ["python", "-I", "-S", "-c", waiting, mark], environment)
signal.signal(15, signal.SIG_IGN)
print("hidden")
sys.stdout.flush()
time.sleep(600)
"""


@pytest.mark.parametrize("end", ["cancel", "shim", "keeper", "both"])
async def test_no_process_outlives_the_job(target: Target, end: str) -> None:
    service, mark = target.service, f"mark-{os.urandom(8).hex()}"
    job_id = await target.submit(HIDING, MARK=mark)
    await service.says(job_id, "hidden")
    await eventually(lambda: len(processes_with(mark)) >= 4, what="all of them are there")
    attempt = service.data_dir / "jobs" / job_id / "attempts" / "1"
    pids = {
        "keeper": int((attempt / "lock").read_text().split()[0]),
        "shim": int((attempt / "pid.json").read_text().split('"shim_pid": ')[1].split(",")[0]),
    }
    if end == "cancel":
        await service.post(f"/mlops/training/jobs/{job_id}/cancel")
    else:
        for name in ("keeper", "shim") if end == "both" else (end,):
            with contextlib.suppress(ProcessLookupError):  # the shim may end with its keeper
                os.kill(pids[name], 9)
    job = await service.finished(job_id)
    assert job["reason"] == ("cancelled" if end == "cancel" else "lost")
    assert not processes_with(mark)


async def test_a_timeout_leaves_no_processes(target: Target) -> None:
    mark = f"mark-{os.urandom(8).hex()}"
    job_id = await target.service.submit(
        f"import idna, os, signal, sys, time\n{HIDING}",
        environment_vars={"MARK": mark},
        warm=target.warm,
        timeout=1,
    )
    job = await target.service.finished(job_id)
    assert (job["reason"], job["isolation"]) == ("timeout", "sandbox")
    assert not processes_with(mark)


async def test_a_job_cannot_lock_the_cache_for_later_jobs(target: Target) -> None:
    await target.attacked("os.chmod(os.environ['XDG_CACHE_HOME'], 0)")
    output = await target.attacked("print(os.listdir(os.environ['XDG_CACHE_HOME']) is not None)")
    assert "True" in output
