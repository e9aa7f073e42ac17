"""Attacks of foreign code during a build, on services run by root and by another user.

What a build script finds out becomes the module that the job then prints.
"""

import os
import secrets
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import pytest_asyncio

from tests.support.attack_scripts import FIND_CANARY
from tests.support.build_site import BuildSite, running_build_site
from tests.support.processes import processes_with
from tests.support.service_users import IS_ROOT
from tests.support.wheels import make_wheel

pytestmark = [pytest.mark.service, pytest.mark.asyncio(loop_scope="module")]

# soon reached by a fork bomb; without root these tests' own processes and threads count too
PROCESSES = 128 if IS_ROOT else 1024


@pytest_asyncio.fixture(scope="module", loop_scope="module", params=["root", "ordinary"])
async def site(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> AsyncIterator[BuildSite]:
    canary = f"canary-{secrets.token_hex(16)}"
    settings = {
        "ASGARD_LIMITS__PROCESSES": str(PROCESSES),
        "AWS_SECRET_ACCESS_KEY": canary,
        "HTTPS_PROXY": f"http://user:{canary}@127.0.0.1:1",
    }
    folder = tmp_path_factory.mktemp("site")
    async with running_build_site(folder, request.param, settings, canary=canary) as site:
        yield site


async def test_wheels_are_installed_from_a_shared_cache(site: BuildSite) -> None:
    make_wheel(site.packages, "plain", "OUTPUT = 'plain'")
    for name in ("plain", "plain>=1"):
        job = await site.job_with(name, "import plain\nprint(plain.OUTPUT)")
        assert (job["reason"], job["logs"].splitlines()[-1]) == ("succeeded", "plain")
        assert "built" not in job["logs"]
    modules = list(site.service.data_dir.glob("environments/*/venv/lib/*/site-packages/plain.py"))
    # one file, in the cache and in both
    assert [module.stat().st_nlink for module in modules] == [3, 3]


async def test_an_installation_error_is_reported_once(site: BuildSite) -> None:
    job = await site.job_with("not-to-be-found", "print()")
    assert job["reason"] == "environment_failed"
    assert job["error"].count("not-to-be-found was not found") == 1, job["error"]
    assert job["logs"].count("No solution found") == 1, job["logs"]


async def test_a_build_script_sees_no_files_of_the_service(site: BuildSite) -> None:
    attacks = """
data = facts["DATA_DIR"]
for name in ("asgard.db", "tokens.json", "audit.log", "service.lock", "mlflow", "jobs", "archives",
             "cache", "cache/uv", "uids"):
    attack(name, lambda: os.stat(f"{data}/{name}"))
canary = facts["CANARY"][::-1].encode()
"""
    output = await site.attacked(attacks + FIND_CANARY)
    assert "seen True" in output
    assert output.count("held") == 10


async def test_a_build_script_writes_and_signals_nothing_outside(site: BuildSite) -> None:
    output = await site.attacked("""
data = facts["DATA_DIR"]
for path in ("/x", "/etc/x", "/usr/x", "/run/x", f"{os.path.dirname(os.__file__)}/os.py",
             "/proc/sys/kernel/core_pattern", "/proc/sysrq-trigger"):
    # existing files must survive a failure of this test
    flags = os.O_WRONLY if os.path.exists(path) else os.O_WRONLY | os.O_CREAT
    attack(path, lambda: os.close(os.open(path, flags)))
pid = int(facts["SERVICE_PID"])
attack("signal", lambda: os.kill(pid, 0))
attack("pidfd", lambda: os.pidfd_open(pid))
attack("variables", lambda: open(f"/proc/{pid}/environ").read())
print(len([name for name in os.listdir("/proc") if name.isdigit()]), "processes")
attack("capabilities", lambda: int(
    dict(line.split(":", 1) for line in open("/proc/self/status"))["CapPrm"], 16) or 1 / 0)
attack("uid", lambda: os.setuid(0))
# perhaps below its own /tmp
for folder in (data, f"{data}/environments", f"{data}/environments/builds", f"{data}/mlflow"):
    try:
        os.makedirs(folder, exist_ok=True)
        open(f"{folder}/left-by-a-build", "w").close()
    except OSError:
        pass
""")
    assert output.count("held") == 12
    assert not list(site.service.data_dir.rglob("left-by-a-build"))
    assert int(output.split(" processes")[0].split()[-1]) < 10


async def test_a_build_leaves_no_processes(site: BuildSite) -> None:
    mark = f"mark-{secrets.token_hex(8)}"
    output = await site.attacked(
        """
waiting = "import signal, time; signal.signal(15, signal.SIG_IGN); time.sleep(600)"
for hide in range(3):
    if os.fork() == 0:
        os.setsid()
        os.closerange(0, 100)  # uv would wait until its output is closed
        if hide and os.fork(): os._exit(0)
        os.execve(sys.executable, ["python", "-I", "-S", "-c", waiting, facts["MARK"]], {})
print("left", hide)
""",
        MARK=mark,
    )
    assert "left 2" in output
    assert not processes_with(mark)


async def test_a_fork_bomb_in_a_build_is_stopped(site: BuildSite) -> None:
    output = await site.attacked("""
import resource
limit = resource.getrlimit(resource.RLIMIT_NPROC)[0]
children = []
try:
    while len(children) <= limit:
        if (pid := os.fork()) == 0:
            signal.pause()
        children.append(pid)
except BlockingIOError:
    print("stopped")
for pid in children:
    os.kill(pid, signal.SIGKILL)
""")
    assert "stopped" in output
    assert (await site.service.get("/health/live"))[0] == 200


async def test_a_builds_cache_is_private(site: BuildSite) -> None:
    make_wheel(site.packages, "victim", "OUTPUT = 'as it should be'")
    await site.attacked("""
import glob
cache = os.environ["UV_CACHE_DIR"]
attack("the common cache", lambda: cache.startswith(facts["DATA_DIR"] + "/cache") or 1 / 0)
attack("anything cached", lambda: glob.glob(f"{facts['DATA_DIR']}/cache/**/*") or 1 / 0)
""")
    cached = (site.service.data_dir / "cache" / "uv").rglob("*hostile*")
    # only pages of the index
    assert {path.suffix for path in cached} <= {".rkyv"}
    job = await site.job_with("victim")
    assert job["logs"].splitlines()[-1] == "as it should be"


PLANTED = {
    "the interpreter": "replace('bin/python', '/bin/sh')",
    "its folder": "os.rename(f'{venv}/bin', f'{venv}/bin2'); os.symlink('/bin', f'{venv}/bin')",
    "settings": "replace('pyvenv.cfg', '/etc/passwd')",
    "changed settings": "open(f'{venv}/pyvenv.cfg', 'a').write('x = y')",
    "a link": "os.symlink(facts['DATA_DIR'] + '/tokens.json', f'{venv}/lib/tokens.py')",
    "a link to a directory": "os.symlink('/', f'{venv}/lib/__pycache__')",
    "a pipe": "os.mkfifo(f'{venv}/lib/pipe.py')",
    "a socket": "import socket; os.chdir(venv); socket.socket(socket.AF_UNIX).bind('s')",
    "a closed directory": "os.mkdir(f'{venv}/lib/closed', 0)",
    "a deep directory": (
        "os.chdir(f'{venv}/lib')\n"
        "for _ in range(2500): os.mkdir('d'); os.chdir('d')\n"
        "os.chdir(os.environ['HOME'])"
    ),
    "all of it": "os.rename(venv, venv + '2'); os.symlink('/', venv)",
}


@pytest.mark.parametrize("what", PLANTED)
async def test_files_planted_by_a_build_are_rejected(site: BuildSite, what: str) -> None:
    name = site.hostile(f"""
venv = os.path.realpath(os.environ["HOME"] + "/../venv")
def replace(name, target):
    os.unlink(f"{{venv}}/{{name}}")
    os.symlink(target, f"{{venv}}/{{name}}")
{PLANTED[what]}
""")
    job = await site.job_with(name)
    assert job["reason"] == "environment_failed", job
    # uv itself fails earlier if there is no environment left to install into
    assert "in the environment" in job["error"] or what == "all of it", job
    _check_environments(site.service.data_dir)
    assert not list(site.service.data_dir.glob("environments/builds/*/*.new*"))


def _check_environments(data_dir: Path) -> None:
    """What is there leads nowhere else."""
    for venv in data_dir.glob("environments/*/venv"):
        assert not venv.is_symlink()
        for folder, directories, files in os.walk(venv):
            for path in (Path(folder, name) for name in (*directories, *files)):
                if path.is_symlink():
                    assert path.name.startswith(("python", "lib64")), path
                else:
                    assert path.is_file() or path.is_dir(), path


async def test_startup_modules_run_only_inside_the_job(site: BuildSite) -> None:
    mark = f"mark-{secrets.token_hex(8)}"
    code = (
        "import os, sys; sys.stderr.write('runs as %d in %s\\n' % (os.getpid(),"
        f" os.environ.get('ASGARD_JOB_ID', '{mark}')))"
    )
    further = {"at_start.pth": code, "sitecustomize.py": code}
    make_wheel(site.packages, "at_start", "OUTPUT = 'imported'", further=further)
    job = await site.job_with("at_start")
    assert job["reason"] == "succeeded", job
    announcements = [line for line in job["logs"].splitlines() if line.startswith("runs as")]
    assert len(announcements) >= 2
    assert all(line.endswith(job["job_id"]) for line in announcements), announcements
    assert mark not in job["logs"]
    assert mark not in site.service.log.read_text()


async def test_a_wheel_does_not_replace_the_interpreter(site: BuildSite) -> None:
    scripts = "taking_over-1.data/scripts/python"
    make_wheel(site.packages, "taking_over", "", further={scripts: "#!/bin/sh\necho taken\n"})
    job = await site.job_with("taking_over")
    assert job["reason"] == "environment_failed", job


async def test_a_wheel_writes_nothing_outside_its_environment(site: BuildSite) -> None:
    further = {
        "leading_out-1.dist-info/entry_points.txt": (
            "[console_scripts]\n../../../../escaped = leading_out:main\n"
        ),
        "leading_out-1.data/data/../../../../../escaped2": "x",
    }
    make_wheel(site.packages, "leading_out", "OUTPUT = ''", further=further)
    await site.job_with("leading_out")
    assert not list(site.service.data_dir.parent.rglob("escaped*"))
