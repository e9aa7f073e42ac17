"""The shim, which starts the job, copies its output, enforces its deadline and records its end."""

import fcntl
import os
import resource
import select
import signal
import sys
import time

from . import files, linux
from .exit_record import write_exit
from .limits import LimitMonitor
from .process_spec import ProcessSpec
from .pump import PIPE_BYTES, Log
from .sandbox import InitFailed, open_namespaces
from .script import JobPipes, Program, ScriptIsNext, run_job

KEEPER_DIED = signal.SIGUSR1
WATCHED = (signal.SIGCHLD, signal.SIGTERM, KEEPER_DIED)


def supervise(spec: ProcessSpec, program: Program) -> None:
    """Run the attempt to its end; never returns.

    Raises:
        ScriptIsNext: in the job's process, if the interpreter must run the program in it.
    """
    code = 1
    try:
        Shim(spec, program).run()
        code = 0
    except ScriptIsNext:
        raise
    except BaseException:
        try:
            sys.excepthook(*sys.exc_info())
            linux.kill_descendants()
        finally:
            linux.leave(code)
    linux.leave(code)


class Shim:
    """The supervisor of one attempt. The job is a child of this process, in its own session."""

    def __init__(self, spec: ProcessSpec, program: Program) -> None:
        self.spec = spec
        self.program = program
        self.log = Log(spec["log"], spec["log_limit"])
        self.limits = LimitMonitor(spec["directory"], spec.get("limits"))
        self.stop_reason: str | None = None
        self.killed = False
        self.stop_at: float | None = None
        self.kill_at: float | None = None
        self.ended = False

    def run(self) -> None:
        linux.become_subreaper()
        wakeup = _signals_as_bytes()
        if not self._open_namespaces() or not self._prepare_limits():
            return
        output = self._start_job()
        poll = select.poll()
        poll.register(wakeup, select.POLLIN)
        poll.register(output, select.POLLIN)
        if (notifier := self.limits.notifier) is not None:
            poll.register(notifier, select.POLLIN)
        while not self.ended:
            ready = {descriptor for descriptor, _ in poll.poll(self._milliseconds_left())}
            if output in ready and not self._pump(output):
                poll.unregister(output)  # the job closed its output but continues
            if wakeup in ready:
                self._handle_signals(os.read(wakeup, 4096))
            if notifier in ready:
                self.limits.on_memory_pressure()
            self._enforce_deadlines()
            self._enforce_limits()
        self.limits.kill()
        linux.kill_descendants()
        self.limits.remove()
        self._drain(output)
        self.log.close()

    # --- start ----------------------------------------------------------------------------

    def _open_namespaces(self) -> bool:
        """Open the specified namespaces; return False if this fails and ends the attempt."""
        sandbox = self.spec.get("sandbox")
        if sandbox is None or not sandbox["namespaces"]:
            return True
        try:
            open_namespaces(sandbox)
        except (OSError, InitFailed) as error:
            self._write_start_failed(f"{type(error).__name__}: {error}")
            return False
        return True

    def _prepare_limits(self) -> bool:
        """Prepare the job's limits; return False if this fails and ends the attempt."""
        try:
            self.limits.prepare()
        except OSError as error:
            reason = f"its control group cannot be created ({error.strerror})"
            self._write_start_failed(reason)
            return False
        return True

    def _start_job(self) -> int:
        """Fork the job behind a gate, record its start durably, and open the gate.

        Returns:
            The descriptor of the job's output.
        """
        output, job_output = os.pipe2(os.O_CLOEXEC)
        try:
            fcntl.fcntl(output, fcntl.F_SETPIPE_SZ, PIPE_BYTES)
        except OSError:
            pass  # the user has too many pipes; the default size is only slower
        gate, open_gate = os.pipe2(os.O_CLOEXEC)
        failure, job_failure = os.pipe2(os.O_CLOEXEC)
        shim = os.getpid()
        self.job = os.fork()
        if self.job == 0:
            os.close(open_gate)
            run_job(
                self.spec,
                self.program,
                shim,
                JobPipes(gate, job_output, job_failure),
                self.limits.procs_fds,
            )
        self.limits.close_procs_fds()
        for descriptor in (gate, job_output, job_failure, *self.spec["inherit"]):
            os.close(descriptor)
        started_at = time.time()
        files.write_durably(
            self.spec["directory"],
            files.PID,
            files.to_json(
                {
                    "shim_pid": shim,
                    "shim_start_time": linux.start_time(shim),
                    "job_pid": self.job,
                    "job_start_time": linux.start_time(self.job),
                    "boot_id": linux.boot_id(),
                    "started_at": started_at,
                    "cold_reason": self.spec.get("cold_reason"),
                    "isolation": self.spec.get("isolation"),
                }
            ),
        )
        if self.spec["timeout"]:
            self.stop_at = time.monotonic() + self.spec["timeout"]
        try:
            os.write(open_gate, b"!")
        except BrokenPipeError:
            pass  # the job has already failed, and reports why
        os.close(open_gate)
        if error := os.read(failure, 4096):
            # the gate was opened, but no user code ran
            _, status = os.waitpid(self.job, 0)
            self._write_start_failed(error.decode(errors="replace"), status)
            self.ended = True
        else:
            _notify(f"{started_at!r}\n")
        os.close(failure)
        os.set_blocking(output, False)
        return output

    # --- while it runs --------------------------------------------------------------------

    def _pump(self, output: int) -> bool:
        try:
            data = os.read(output, self.log.chunk)
        except BlockingIOError:
            return True
        self.log.write(data)
        return bool(data)

    def _handle_signals(self, numbers: bytes) -> None:
        if signal.SIGCHLD in numbers:
            self._reap()  # first, because a job that exited by itself was not stopped
        if KEEPER_DIED in numbers and not self.ended:
            # without a keeper, no process would clean up after this one: exit as lost
            self.limits.kill()
            linux.kill_descendants()
            os._exit(1)
        if signal.SIGTERM in numbers:
            self._stop("requested")

    def _milliseconds_left(self) -> float | None:
        deadlines = [
            deadline
            for deadline in (self.stop_at, self.kill_at, self.limits.due)
            if deadline is not None
        ]
        # one more millisecond, since poll truncates and would spin
        return max(0.0, min(deadlines) - time.monotonic()) * 1000 + 1 if deadlines else None

    def _enforce_deadlines(self) -> None:
        now = time.monotonic()
        if self.stop_at is not None and now >= self.stop_at:
            self._stop("timeout")
        if self.kill_at is not None and now >= self.kill_at and not self.ended:
            self.kill_at = None
            self.killed = True
            os.kill(self.job, signal.SIGKILL)

    def _enforce_limits(self) -> None:
        exceeded = None if self.ended else self.limits.check()
        if exceeded is None:
            return
        if exceeded == "disk":
            # killed without grace, since there is no space to save anything
            self.stop_reason = self.stop_reason or exceeded
        self.limits.kill()
        os.kill(self.job, signal.SIGKILL)

    def _stop(self, reason: str) -> None:
        if self.stop_reason is not None or self.ended:
            return
        self.stop_reason = reason
        self.stop_at = None
        self.kill_at = time.monotonic() + self.spec["grace"]
        os.kill(self.job, signal.SIGTERM)
        os.kill(self.job, signal.SIGCONT)  # a stopped process must wake first

    # --- end ------------------------------------------------------------------------------

    def _reap(self) -> None:
        while True:
            try:
                pid, status, usage = os.wait4(-1, os.WNOHANG)
            except ChildProcessError:
                return
            if pid == 0:
                return
            if pid == self.job and not self.ended:
                self.ended = True
                self._write_exit("exited", status, usage)

    def _write_start_failed(self, reason: str, status: int = 0) -> None:
        self._write_exit("start_failed", status, None, reason)

    def _write_exit(
        self,
        how: str,
        status: int,
        usage: "resource.struct_rusage | None",
        error: "str | None" = None,
    ) -> None:
        write_exit(
            self.spec["directory"],
            how=how,
            status=status,
            stop=self.stop_reason,
            killed=self.killed,
            error=error,
            usage=self.limits.facts(usage),
        )

    def _drain(self, output: int) -> None:
        # not until the end: a descriptor passed to another process may keep the pipe open forever
        try:
            while data := os.read(output, self.log.chunk):
                self.log.write(data)
        except BlockingIOError:
            pass


def _signals_as_bytes() -> int:
    """Deliver the watched signals as bytes to a pipe; return its reading end."""
    reader, writer = os.pipe2(os.O_CLOEXEC | os.O_NONBLOCK)
    signal.set_wakeup_fd(writer, warn_on_full_buffer=False)
    for number in WATCHED:
        signal.signal(number, lambda *_: None)
    signal.pthread_sigmask(signal.SIG_UNBLOCK, WATCHED)
    return reader


def _notify(text: str) -> None:
    """Notify the service, if it is still listening."""
    try:
        os.write(1, text.encode())
    except BrokenPipeError:
        pass
    null = os.open(os.devnull, os.O_RDWR | os.O_CLOEXEC)
    os.dup2(null, 0)
    os.dup2(null, 1)
    os.close(null)
