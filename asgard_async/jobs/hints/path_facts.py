"""Facts about a path or a program in a message."""

import posixpath
import re
from collections.abc import Collection

from asgard_async.jobs.hints.failed_job import FailedJob
from asgard_async.jobs.hints.found import Facts
from asgard_async.jobs.hints.quoting import shown

WINDOWS = re.compile(r"[A-Za-z]:[\\/]|\\\\")
OF_PLATFORMS = {"/content/": "Google Colab", "/kaggle/": "Kaggle", "/dbfs/": "Databricks"}
IN_MEMORY = ("/tmp", "/var/tmp", "/dev/shm")  # noqa: S108
INTERPRETERS = {".sh": "sh", ".bash": "bash", ".py": "python", ".pl": "perl", ".r": "Rscript"}
INSTALLERS = frozenset({"pip", "pip3", "uv", "conda", "mamba"})
SYSTEM_INSTALLERS = frozenset({"apt", "apt-get", "sudo", "yum", "dnf", "apk", "brew"})


def add_program_facts(job: FailedJob, program: str, facts: Facts) -> None:
    """Add the facts about a program, which are those about its path, and:

    `installer`, `system installer`: it installs packages of Python, or of the system
    `named`: it was looked up in PATH
    `cwd`: it is the call's working directory; `unknown cwd` if it may be that
    And {remedy} for one that is not executable.
    """
    add_path_facts(job, program, facts)
    name = posixpath.basename(program)
    plain = shown(posixpath.normpath(program))
    interpreter = INTERPRETERS.get(posixpath.splitext(name)[1])
    remedy = f"run `{interpreter} {plain}`" if interpreter else f'call os.chmod("{plain}", 0o700)'
    facts.values.update({"program": plain, "remedy": remedy})
    if "cwd=" in job.traceback:
        is_cwd = re.search(rf"cwd=[rf]?(['\"]){re.escape(program)}\1", job.traceback)
        facts.names.add("cwd" if is_cwd else "unknown cwd")
    if "/" not in program:
        facts.names.add("named")
    if name in INSTALLERS:
        facts.names.add("installer")
    if name in SYSTEM_INSTALLERS:
        facts.names.add("system installer")


def add_path_facts(job: FailedJob, path: str, facts: Facts) -> None:
    """Add the facts about a path.

    `windows`, `home`, `absolute`, `relative`: its kind; a path in the job's own working directory
        counts as relative
    `own temporary`: it is in the job's TMPDIR or HOME
    `platform`: it is one of {platform}, such as Google Colab
    `in memory`: it is in /tmp or /dev/shm
    `site-packages`: it is in an environment
    `present`: the working directory has such a file or folder
    `misplaced`: the working directory has the file elsewhere, as {found}
    `in folder`: the path names a folder, {folder}; `no folder` if there is no such folder
    """
    facts.values["path"] = shown(path)
    if re.search(r"/(?:site|dist)-packages(?:/|$)", path):
        facts.names.add("site-packages")
    if WINDOWS.match(path):
        facts.names.add("windows")
        return
    if path.startswith("~"):
        facts.names.add("home")
        return
    if job.job_id and (own := re.search(rf"/{job.job_id}/attempts/\d{{1,9}}/(\w+)(?:/|$)", path)):
        if own[1] != "work":
            facts.names.add("own temporary")
            return
        path = path[own.end() :]
    if path.startswith("/"):
        _add_absolute(path, facts)
        return
    facts.names.add("relative")
    if job.files is not None:
        _add_relative(job.files, path, job.entrypoint, facts)


def _add_absolute(path: str, facts: Facts) -> None:
    facts.names.add("absolute")
    for folder, platform in OF_PLATFORMS.items():
        if path.startswith(folder):
            facts.names.add("platform")
            facts.values.update({"platform": platform, "folder": folder.rstrip("/")})
    if any(f"{path}/".startswith(f"{directory}/") for directory in IN_MEMORY):
        facts.names.add("in memory")


def _add_relative(files: Collection[str], path: str, entrypoint: str, facts: Facts) -> None:
    wanted = posixpath.normpath(path)
    if folder := posixpath.dirname(wanted):
        facts.names.add("in folder")
        facts.values["folder"] = shown(folder)
        if not any(file.startswith(f"{folder}/") for file in files):
            facts.names.add("no folder")
    if wanted in files or any(file.startswith(f"{wanted}/") for file in files):
        facts.names.add("present")
    elif found := _elsewhere(files, wanted, entrypoint):
        facts.names.add("misplaced")
        facts.values["found"] = shown(found)


def _elsewhere(files: Collection[str], wanted: str, entrypoint: str) -> str | None:
    """Return the file that a path probably means, if it counts from another folder."""
    beside_entrypoint = posixpath.normpath(posixpath.join(posixpath.dirname(entrypoint), wanted))
    below = re.sub(r"^(?:\.\./)+", "", wanted)
    tries = [beside_entrypoint, below]
    # without its first folders, which may be those of the project on the user's machine
    tries += [below.split("/", count)[-1] for count in range(1, below.count("/"))]
    for path in tries:
        if path in files:
            return path
    for suffix in (f"/{below}", f"/{posixpath.basename(wanted)}"):
        if candidates := [file for file in files if file.endswith(suffix)]:
            return min(candidates, key=lambda file: (file.count("/"), file))
    return None
