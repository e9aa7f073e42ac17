"""Run the whole suite under odd conditions, each in a fresh clone below /tmp and in random order.

    python .ci/test_conditions.py [--seed N] [CONDITION ...]

Conditions, all of them by default, one after the other:

path      the checkout's path contains spaces and `ü`
ahead     every process, whatever its environment, sees the clock ten years ahead (root, Linux, cc)
ordinary  an ordinary user runs the tests (root)
busy      eight busy loops run beside the tests
plain     nothing but the random order

The clones and their environments are removed afterwards. The exit status is 1 if a test failed.
"""

import argparse
import os
import shlex
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

from commands import captured

REPOSITORY = Path(__file__).resolve().parents[1]
CLOCK_SOURCE = Path(__file__).with_name("clock_ahead.c")
ORDINARY_ID = 58_000
BUSY_LOOPS = 8
WORKERS = 3

# Preloaded through /etc rather than by a variable: jobs and their sandboxes start with clean
# environments. Bytecode must not reach the real installation of Python, since it contains times of
# files. The overlays exist in a mount namespace of their own, and end with it.
IN_A_FAKED_SYSTEM = """
set -e
layers=$1 library=$2 python=$3
shift 3
mount --make-rprivate /
mkdir "$layers"
mount -t tmpfs tmpfs "$layers"
for folder in /etc /usr "$python"; do
    layer=$layers/$(basename "$folder")
    mkdir "$layer" "$layer.work"
    mount -t overlay overlay -o "lowerdir=$folder,upperdir=$layer,workdir=$layer.work" "$folder"
done
install -m 755 "$library" /usr/lib/clock_ahead.so
echo /usr/lib/clock_ahead.so >/etc/ld.so.preload
exec "$@"
"""


@dataclass(frozen=True, kw_only=True)
class Condition:
    """A way to run the suite.

    Attributes:
        folder: The name of the clone's parent directory.
        uid: The user that runs the tests; the present one by default.
        ahead: Move the clock.
        busy: Start busy loops.
    """

    folder: str = "asgard"
    uid: int | None = None
    ahead: bool = False
    busy: bool = False


CONDITIONS = {
    "path": Condition(folder="a path with spaces and ü"),
    "ahead": Condition(ahead=True),
    "ordinary": Condition(uid=ORDINARY_ID),
    "busy": Condition(busy=True),
    "plain": Condition(),
}


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("conditions", nargs="*", metavar="CONDITION", help=", ".join(CONDITIONS))
    parser.add_argument("--seed", type=int, default=1, help="of the first condition (default: 1)")
    parser.add_argument("--pytest", default="", metavar="ARGS", help="further arguments of pytest")
    arguments = parser.parse_args()
    codes = {
        f"{name}, seed {seed}": tested(CONDITIONS[name], seed, shlex.split(arguments.pytest))
        for seed, name in enumerate(arguments.conditions or CONDITIONS, arguments.seed)
    }
    for name, code in codes.items():
        print(f"{'passed' if code == 0 else 'FAILED'}: {name}")
    sys.exit(any(codes.values()))


def tested(condition: Condition, seed: int, extra: Sequence[str]) -> int:
    """Run the suite under one condition; return pytest's exit status."""
    with ExitStack() as stack:
        work = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="asgard-conditions-")))
        work.chmod(0o755)
        clone = work / condition.folder / "asgard"
        python = clone / ".venv/bin/python"
        prepare(clone, python, Path("/usr/bin/python3") if condition.uid else None)
        home = work / "home"
        home.mkdir()
        command = [
            *(str(python), "-m", "pytest", "-n", str(WORKERS), "--dist", "loadfile"),
            *("--no-loadscope-reorder", "-q", *extra),
        ]
        if condition.uid is not None:
            run("chown", "-R", f"{condition.uid}:{condition.uid}", str(work))
            ids = (f"--reuid={condition.uid}", f"--regid={condition.uid}", "--clear-groups")
            command = ["setpriv", *ids, *command]
        if condition.ahead:
            library = work / "clock_ahead.so"
            run("cc", "-O2", "-shared", "-fPIC", "-o", str(library), str(CLOCK_SOURCE))
            faked = ("faked", str(work / "layers"), str(library), sys.base_prefix)
            command = ["unshare", "--mount", "bash", "-c", IN_A_FAKED_SYSTEM, *faked, *command]
        if condition.busy:
            stack.enter_context(busy_loops())
        variables = {**os.environ, "ASGARD_TEST_SEED": str(seed)}
        if condition.uid is not None:
            variables |= {"HOME": str(home), "TMPDIR": str(home)}
        print(f"{condition}, seed {seed}", flush=True)
        return subprocess.run(command, cwd=clone, env=variables, check=False).returncode


def run(*command: str) -> None:
    """Run a command that must succeed."""
    done = captured(*command)
    if done.returncode:
        sys.exit(f"{shlex.join(command)}\n{done.stdout}")


def prepare(clone: Path, python: Path, base: Path | None) -> None:
    """Clone the repository and create the environment of the tests in it."""
    run("git", "clone", "-q", "--no-hardlinks", str(REPOSITORY), str(clone))
    uv = shutil.which("uv", path=f"{Path(sys.executable).parent}:{os.environ['PATH']}")
    if uv is None:
        sys.exit("uv is missing; run `make venv`.")
    base_python = base or Path(sys._base_executable)  # type: ignore[attr-defined]
    run(uv, "venv", "-q", "--seed", "--python", str(base_python), str(python.parents[1]))
    run(uv, "pip", "install", "-q", "--python", str(python), "-e", f"{clone}[test]")


@contextmanager
def busy_loops() -> Iterator[None]:
    """Keep processors busy, for two hours at most."""
    loop = ("timeout", "7200", sys.executable, "-c", "while True: pass")
    loops = [subprocess.Popen(loop) for _ in range(BUSY_LOOPS)]
    try:
        yield
    finally:
        for process in loops:
            process.terminate()
        for process in loops:
            process.wait()


if __name__ == "__main__":
    main()
