"""The program that runs a notebook: `python -P -c PROGRAM NOTEBOOK ARGUMENT…`.

It runs as the job, in the job's environment, from its source: no file of Asgard is visible in a
sandbox. The kernel is a child, with the same sandbox and limits. What cells print goes to the log
at once, and the executed notebook is kept beside the original.

The exit code is that of a script with the same cells. A kernel that a signal ended, as when memory
runs out, makes this process end by the same signal.
"""

import asyncio
import io
import json
import os
import re
import signal
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

os.environ.setdefault("JUPYTER_PLATFORM_DIRS", "1")  # else jupyter_core warns
os.environ.setdefault("PYDEVD_DISABLE_FILE_VALIDATION", "1")  # else the kernel's debugger warns

import nbformat
from jupyter_client.kernelspec import KernelSpec
from jupyter_client.manager import AsyncKernelManager
from nbclient import NotebookClient
from nbclient.exceptions import CellExecutionError, DeadKernelError

SAVE_SECONDS = 10.0
"""Least time between two saves while cells run."""
START_SECONDS = 300
MAX_SOCKET_PATH = 90
"""A Unix socket's address may have 107 bytes; the kernel appends a number."""
COLOURS = re.compile(r"\x1b\[[0-9;]*m")
CELL_FRAME = re.compile(r"  Cell In\[(\d+)\], line (\d+)(?:,? in (.+))?$")
FILE_FRAME = re.compile(r"  File (/.+?):(\d+)(?:,? in (.+))?$")

KERNEL = """\
import sys, warnings
from ipykernel.kernelapp import IPKernelApp
warnings.filterwarnings("ignore", message="To exit: use")
app = IPKernelApp.instance()
app.initialize(sys.argv[1:])
sys.argv[:] = {argv}
app.start()
"""
FINISH = """\
def _asgard_finish(failed, notebook):
    import sys
    mlflow = sys.modules.get("mlflow")
    if mlflow is None:
        return
    run = mlflow.active_run() or mlflow.last_active_run()
    if run is not None:
        mlflow.MlflowClient().log_artifact(run.info.run_id, notebook)
    while failed and mlflow.active_run() is not None:
        mlflow.end_run("FAILED")
try:
    _asgard_finish({failed!r}, {notebook!r})
finally:
    del _asgard_finish
"""


class Kernel(AsyncKernelManager):
    """A kernel of this interpreter, reached by Unix sockets if their paths are short enough."""

    argv: "list[str]" = []  # noqa: RUF012  # set once, as is the next one
    directory = ""
    """For the sockets and the connection file."""

    def __init__(self, **options: Any) -> None:
        super().__init__(**options)
        self.connection_file = f"{self.directory}/kernel.json"
        if len(self.directory) <= MAX_SOCKET_PATH:
            self.transport, self.ip = "ipc", f"{self.directory}/socket"

    is_ending = False

    async def _async_interrupt_kernel(self) -> None:
        # jupyter_client interrupts an idle kernel at its shutdown, which it would log as an error
        if not self.is_ending:
            await super()._async_interrupt_kernel()

    interrupt_kernel = _async_interrupt_kernel

    @property
    def kernel_spec(self) -> KernelSpec:
        # jupyter_client replaces names in braces, also in the job's own arguments
        argv = repr(self.argv).replace("{", "\\x7b")
        command = [sys.executable, "-c", KERNEL.format(argv=argv)]
        return KernelSpec(
            argv=[*command, "-f", "{connection_file}", "--InteractiveShell.xmode=Plain"],
            display_name="Python",
            language="python",
        )


class Client(NotebookClient):
    """Executes cells, and prints what they print."""

    def process_message(self, msg: Any, cell: Any, cell_index: int) -> Any:
        content = msg["content"]
        match msg["msg_type"]:
            case "stream":
                _write(content["text"], to_stderr=content["name"] == "stderr")
            case "display_data" | "execute_result" if "text/plain" in content["data"]:
                _write(content["data"]["text/plain"] + "\n")
            case "error" if content["ename"] != "SystemExit":
                _write(_traceback(content, self.resources["notebook"], self.cells), to_stderr=True)
        return super().process_message(msg, cell, cell_index)

    cells: "dict[int, tuple[int, int]]"
    """Execution count → the number of the cell in the notebook, and the lines that IPython does not
    count."""


def _write(text: str, *, to_stderr: bool = False) -> None:
    stream = sys.stderr if to_stderr else sys.stdout
    stream.write(text)
    stream.flush()


def _traceback(
    content: "dict[str, Any]", notebook: str, cells: "dict[int, tuple[int, int]]"
) -> str:
    """Return a traceback in Python's own form, in which the files are the notebook's cells."""
    lines = COLOURS.sub("", "\n".join(content["traceback"])).rstrip().split("\n")
    shown = []
    # the place of a SyntaxError comes without a header, and is no frame
    top = ", in <module>" if lines[0].startswith("Traceback") else ""
    for line in lines:
        if found := CELL_FRAME.match(line):
            number, above = cells.get(int(found[1]), (int(found[1]), 0))
            place = f'"{notebook}, cell {number}", line {int(found[2]) + above}'
            shown.append(f"  File {place}" + (f", in {found[3]}" if found[3] else top))
        elif found := FILE_FRAME.match(line):
            shown.append(f'  File "{found[1]}", line {found[2]}, in {found[3] or "<module>"}')
        elif line.strip():
            shown.append(line)
    return "\n".join(shown) + "\n"


def _empty_lines_above(source: str) -> int:
    """Return the number of empty lines at the start of a cell, which IPython removes."""
    lines = source.split("\n")
    return next(number for number, line in enumerate(lines) if line.strip())


class Run:
    """One execution of a notebook."""

    def __init__(self, path: Path, arguments: "list[str]") -> None:
        self.path = path
        self.executed = path.with_name(f"{path.stem}.executed.ipynb")
        self.notebook = nbformat.read(path, as_version=4)  # type: ignore[no-untyped-call]
        self.numbers = _inject(self.notebook, json.loads(os.environ.get("ASGARD_PARAMS", "{}")))
        Kernel.argv = [path.name, *arguments]
        self.client = Client(
            self.notebook,
            timeout=None,
            startup_timeout=START_SECONDS,
            kernel_manager_class=Kernel,
            shutdown_kernel="graceful",
            store_widget_state=False,
            record_timing=False,
            on_cell_executed=self._note_exit,
            resources={"metadata": {"path": str(path.parent)}, "notebook": path.name},
        )
        self.client.cells = {}
        self.is_stopped = self.has_exited = False
        self._saved_at = 0.0

    async def run(self) -> int:
        """Execute all cells; return the exit code, or minus the signal that ended the kernel."""
        async with self.client.async_setup_kernel():
            asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, self._stop)
            try:
                code = await self._execute()
            except DeadKernelError:
                code = self._kernels_end()
            self._save()
            if code >= 0 and not self.is_stopped and not self.has_exited:
                await self._finish(failed=code != 0)
            self._kernel.is_ending = True
        return -signal.SIGTERM if self.is_stopped else code

    async def _execute(self) -> int:
        count = 0
        for index, cell in enumerate(self.notebook.cells):
            if cell.cell_type == "code" and cell.source.strip():
                count += 1
                self.client.cells[count] = self.numbers[index], _empty_lines_above(cell.source)
            try:
                await self.client.async_execute_cell(cell, index)
            except CellExecutionError as error:
                return _exit_code(error)
            if self.has_exited:
                return 0
            if time.monotonic() - self._saved_at > SAVE_SECONDS:
                self._save()
        return 0

    def _note_exit(self, execute_reply: "dict[str, Any]", **_: Any) -> None:
        """Note that a cell has called exit()."""
        payload = execute_reply["content"].get("payload", ())
        self.has_exited |= any(part.get("source") == "ask_exit" for part in payload)

    @property
    def _kernel(self) -> Any:
        return self.client.km

    def _stop(self) -> None:
        """Interrupt the cell, as Ctrl-C does, so that it can clean up."""
        self.is_stopped = True
        self._interrupting = asyncio.ensure_future(self._kernel.interrupt_kernel())

    def _kernels_end(self) -> int:
        code = self._kernel.provisioner.process.poll()
        if code is None or code < 0:
            _write("The kernel of the notebook died.\n", to_stderr=True)
        return 1 if code is None else int(code)

    async def _finish(self, *, failed: bool) -> None:
        """Keep the executed notebook with the run; end runs that the failure left open."""
        code = FINISH.format(failed=failed, notebook=str(self.executed))
        try:
            channels: Any = self.client.kc
            request = channels.execute(code, silent=True, store_history=False)
            reply = await self.client.async_wait_for_reply(request)
        except DeadKernelError:  # the last cell ended it
            return
        if reply is not None and reply["content"]["status"] == "error":
            reason = reply["content"]["evalue"]
            _write(f"The executed notebook is not in the run: {reason}\n", to_stderr=True)

    def _save(self) -> None:
        temporary = self.executed.with_name(f".{self.executed.name}.part")
        try:
            nbformat.write(self.notebook, temporary)  # type: ignore[no-untyped-call]
            temporary.replace(self.executed)
        except OSError as error:
            _write(f"The executed notebook cannot be saved: {error.strerror}\n", to_stderr=True)
        self._saved_at = time.monotonic()


def _exit_code(error: CellExecutionError) -> int:
    """Return the exit code of a script that ends with the exception."""
    if error.ename != "SystemExit":
        return 1
    value = error.evalue.strip()
    if value in {"", "None"}:
        return 0
    if re.fullmatch(r"-?\d+", value):
        return int(value) & 0xFF
    _write(f"{value}\n", to_stderr=True)
    return 1


def _inject(notebook: Any, params: "dict[str, Any]") -> "list[int]":
    """Insert a cell with the parameters after the one tagged `parameters`, as papermill does.

    Returns:
        The numbers that the cells have in the notebook as submitted; 0 for the new one.
    """
    cells = notebook.cells
    numbers = list(range(1, len(cells) + 1))
    lines = [f"{name} = {value!r}" for name, value in params.items() if name.isidentifier()]
    if not lines:
        return numbers
    for index in reversed(range(len(cells))):
        if "injected-parameters" in cells[index].metadata.get("tags", ()):  # of an earlier run
            del cells[index], numbers[index]
    tagged = [n for n, cell in enumerate(cells) if "parameters" in cell.metadata.get("tags", ())]
    new: Any = nbformat.v4.new_code_cell(  # type: ignore[no-untyped-call]
        "\n".join(["# Parameters", *lines]), metadata={"tags": ["injected-parameters"]}
    )
    if notebook.nbformat_minor < 5:
        new.pop("id", None)
    position = tagged[0] + 1 if tagged else 0
    cells.insert(position, new)
    numbers.insert(position, 0)
    return numbers


def main() -> None:
    """Run the notebook named in the arguments."""
    path, *arguments = sys.argv[1:]
    for stream in (sys.stdout, sys.stderr):
        assert isinstance(stream, io.TextIOWrapper)  # noqa: S101
        stream.reconfigure(encoding="utf-8", errors="backslashreplace")
    with tempfile.TemporaryDirectory(prefix="kernel-", dir=_directory_for_sockets()) as directory:
        Kernel.directory = directory
        try:
            code = asyncio.run(Run(Path(path).absolute(), arguments).run())
        except nbformat.reader.NotJSONError:
            _write(f"{path} is not a notebook.\n", to_stderr=True)
            code = 1
    if code < 0:
        if -code not in {signal.SIGKILL, signal.SIGSTOP}:
            signal.signal(-code, signal.SIG_DFL)
        os.kill(os.getpid(), -code)
    sys.exit(code)


def _directory_for_sockets() -> str:
    """Return the directory for temporary files, or a shorter one if its path is too long."""
    usual = tempfile.gettempdir()
    is_long = len(usual) > MAX_SOCKET_PATH - len("/kernel-12345678")
    return "/tmp" if is_long and os.access("/tmp", os.W_OK) else usual  # noqa: S108


if __name__ == "__main__":
    main()
