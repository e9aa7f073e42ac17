"""A forked interpreter, made to be as one that was just started with a script.

The script is run by the interpreter itself, with the function behind `python script.py` and with
nothing on the stack, so that tracebacks, the recursion limit and the end are the script's own. For
that, the job's process leaves everything that is ours by an exception; the interpreter then calls
`sys.excepthook` with three arguments, which stands for a C function of three: PyRun_SimpleFileEx.
"""

import ctypes
import gc
import logging
import os
import signal
import sys
import threading
import time
import types
from collections.abc import Iterator
from typing import Any

from . import linux
from .command_line import show_start
from .preloading import Preloaded, namespaces
from .process_spec import ProcessSpec
from .script import Program, ScriptIsNext

NOT_FOUND = 2
MOVED = ("HOME", "TMPDIR", "XDG_CACHE_HOME", "HF_HOME", "MPLCONFIGDIR")
"""Variables with directories of the server's, in whose place come the job's; what may lie in
another one comes after it."""
WITHOUT_TEXT = (type, types.FunctionType, types.ModuleType)
_kept: "list[Any]" = []
"""What the interpreter uses without holding it."""


class ForkedInterpreter(Program):
    """Scripts in copies of this interpreter. To be made when everything is imported."""

    def __init__(
        self, preloaded: Preloaded, pristine: "dict[str, Any]", descriptors: "tuple[int, ...]"
    ) -> None:
        self.descriptors = descriptors
        self._preloaded = preloaded
        self._places = {name: os.environ[name] for name in MOVED if name in os.environ}
        self._working_directory = os.getcwd()
        self._paths = _strings_below([*self._places.values(), self._working_directory])
        self._pristine = pristine
        self._main = _places_of(sys.modules["__main__"])

    def prepare(self, spec: ProcessSpec) -> None:
        """Undo what belongs to the fork server."""
        gc.freeze()  # what keeper and shim have made is not the job's own
        signal.signal(signal.SIGINT, signal.default_int_handler)
        for number in (signal.SIGPIPE, signal.SIGXFSZ):
            signal.signal(number, signal.SIG_IGN)
        show_start(spec["argv"], spec["environment"])
        os.environ.clear()
        os.environ.update({**self._preloaded.variables_set, **spec["environment"]})
        sys.orig_argv[:] = spec["argv"]
        sys.argv[:] = spec["argv"][1:]
        sys.path.insert(0, os.path.dirname(os.path.realpath(sys.argv[0])))
        self._move_paths(spec)
        self._draw_anew()
        self._replace_main()
        log: Any = logging
        log._startTime = _now_like(log._startTime)
        for name in [name for name in sys.modules if name.partition(".")[0] == "asgard_async"]:
            del sys.modules[name]
        main = threading.main_thread()
        if hasattr(main, "_native_id"):
            main._native_id = threading.get_native_id()

    def run(self, spec: ProcessSpec) -> None:
        """Leave to the interpreter, with nothing open that a script does not find by hand."""
        path = os.path.join(os.getcwd(), spec["argv"][1])
        try:
            script = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
        except OSError as error:
            sys.stderr.write(
                f"{sys.executable}: can't open file {path!r}: [Errno {error.errno}]"
                f" {error.strerror}\n"
            )
            os._exit(NOT_FOUND)
        linux.close_all_but(0, 1, 2, script, *self.descriptors, *spec["inherit"])
        _hand_over(script, path)
        raise ScriptIsNext(spec)

    def _move_paths(self, spec: ProcessSpec) -> None:
        """What was derived from the server's directories is derived from the job's."""
        moves = [(place, spec["environment"].get(name)) for name, place in self._places.items()]
        moves.append((self._working_directory, spec["working_directory"]))
        for namespace, name in self._paths:
            for old, new in moves:
                if new is not None:
                    namespace[name] = namespace[name].replace(old, new)

    def _replace_main(self) -> None:
        """Put a new `__main__` into the place of the fork server's.

        That one is held up to the end, by frames and as frozen for the garbage collector, and with
        it would be what a script leaves in it: nothing of that would be finalised.
        """
        _kept.append(sys.modules["__main__"])
        main = types.ModuleType("__main__")
        main.__dict__.clear()
        main.__dict__.update(self._pristine)
        if "__annotations__" in self._pristine:
            main.__annotations__ = {}
        for namespace, name in self._main:
            namespace[name] = main

    def _draw_anew(self) -> None:
        """Two jobs share no entropy."""
        self._preloaded.generators.seed_anew()
        if (process := sys.modules.get("multiprocessing.process")) is not None:
            main = process.current_process()
            main.authkey = os.urandom(len(main.authkey))


def _places_of(thing: object) -> "list[tuple[dict[str, Any], str]]":
    """Where it is known to modules: namespace and name."""
    return [
        (namespace, name)
        for namespace in (sys.modules, *namespaces())
        for name, value in list(namespace.items())
        if value is thing
    ]


def _now_like(moment: float) -> float:
    """Now, in seconds, or in nanoseconds as Python 3.13 has it."""
    return time.time_ns() if isinstance(moment, int) else time.time()


def _strings_below(folders: "list[str]") -> "list[tuple[dict[str, Any], str]]":
    """Where modules hold text with one of these paths in it: namespace and name."""
    return [
        (namespace, name)
        for namespace in {id(one): one for one in _namespaces_and_below()}.values()
        # by type: to ask an object that imports lazily would make it import
        for name, value in list(namespace.items())
        if type(value) is str and any(folder in value for folder in folders)
    ]


def _namespaces_and_below() -> "Iterator[dict[str, Any]]":
    """Those of all modules, and the dictionaries and objects in them."""
    for namespace in namespaces():
        yield namespace
        for value in list(namespace.values()):
            if type(value) is dict:
                yield value
            elif not issubclass(type(value), WITHOUT_TEXT):
                try:
                    # not as the object itself would answer
                    below = object.__getattribute__(value, "__dict__")
                except AttributeError:
                    continue
                if type(below) is dict:
                    yield below


# --- handing over -----------------------------------------------------------------------------


def _hand_over(script: int, path: str) -> None:
    """Make the interpreter run the script when it is left with an exception."""
    library = ctypes.CDLL(None)
    library.fdopen.restype = ctypes.c_void_p
    name = os.fsencode(path)

    def tidy() -> ctypes.c_int:
        sys.excepthook = sys.__excepthook__
        for trace in ("last_type", "last_value", "last_traceback", "last_exc"):
            if hasattr(sys, trace):
                delattr(sys, trace)
        # the call of the hook itself does not count towards the script's recursion
        ctypes.pythonapi.Py_LeaveRecursiveCall()
        return ctypes.c_int(True)  # the file is to be closed

    hook: Any = ctypes.PYFUNCTYPE(ctypes.c_int)(("PyRun_SimpleFileEx", ctypes.pythonapi))
    hook.argtypes = [
        _argument(lambda: ctypes.c_void_p(library.fdopen(script, b"rb"))),
        _argument(lambda: ctypes.c_char_p(name)),
        _argument(tidy),
    ]
    hook.restype = _ended
    _kept.append(hook)
    sys.excepthook = hook


def _argument(make: Any) -> type:
    """A type of argument that stands for what `make` returns, whatever is given."""

    class Argument:
        @classmethod
        def from_param(cls, _: object) -> object:
            return make()

    return Argument


def _ended(code: int) -> None:
    """Otherwise the interpreter ends as it does after any script that raised."""
    if code == 0:
        raise SystemExit(0)
