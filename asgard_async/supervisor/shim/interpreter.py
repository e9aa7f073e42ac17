"""A forked interpreter that behaves like one that was just started with a script.

The interpreter itself runs the script, with the function that implements `python script.py` and on
an empty stack. So tracebacks, the recursion limit and the exit are the same as for any script. For
this, the job's process raises an exception that leaves all of Asgard's code. The interpreter then
calls `sys.excepthook` with three arguments. This hook has been replaced by PyRun_SimpleFileEx, a C
function with three parameters.
"""

import ctypes
import functools
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
"""Variables with directories of the server, which are replaced by the job's. A directory that may
be inside another one comes after it."""
WITHOUT_TEXT = (type, types.FunctionType, types.ModuleType)
_kept: "list[Any]" = []
"""Objects that the interpreter uses without a reference."""


class ForkedInterpreter(Program):
    """Runs scripts in copies of this interpreter. Create it once everything is imported."""

    def __init__(
        self, preloaded: Preloaded, pristine: "dict[str, Any]", descriptors: "tuple[int, ...]"
    ) -> None:
        self.descriptors = descriptors
        self._preloaded = preloaded
        self._directories = {name: os.environ[name] for name in MOVED if name in os.environ}
        self._working_directory = os.getcwd()
        folders = [*self._directories.values(), self._working_directory]
        self._paths = _paths_below(folders)
        self._cells, self._remembered = _closures_and_caches_with(folders)
        self._pristine = pristine
        self._main = _references_to(sys.modules["__main__"])

    def prepare(self, spec: ProcessSpec) -> None:
        """Replace the fork server's state with the job's."""
        gc.freeze()  # so that objects of keeper and shim do not count as the job's
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
        self._reseed()
        self._replace_main()
        log: Any = logging
        log._startTime = _now_in_unit_of(log._startTime)
        for name in [name for name in sys.modules if name.partition(".")[0] == "asgard_async"]:
            del sys.modules[name]
        main = threading.main_thread()
        if hasattr(main, "_native_id"):
            main._native_id = threading.get_native_id()

    def run(self, spec: ProcessSpec) -> None:
        """Hand over to the interpreter, with only the descriptors of an ordinary script open."""
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
        """Replace the server's directories with the job's wherever modules have stored them."""
        moves = [
            (directory, spec["environment"][name])
            for name, directory in self._directories.items()
            if name in spec["environment"]
        ]
        moves.append((self._working_directory, spec["working_directory"]))
        for container, key in self._paths:
            container[key] = _moved(container[key], moves)
        for cell in self._cells:
            cell.cell_contents = _moved(cell.cell_contents, moves)
        for function in self._remembered:
            function.cache_clear()

    def _replace_main(self) -> None:
        """Replace the fork server's `__main__` with a new module.

        Frames and the frozen generation of the garbage collector keep the old module alive, so
        objects that a script leaves in it would never be finalized.
        """
        _kept.append(sys.modules["__main__"])
        main = types.ModuleType("__main__")
        main.__dict__.clear()
        main.__dict__.update(self._pristine)
        if "__annotations__" in self._pristine:
            main.__annotations__ = {}
        for namespace, name in self._main:
            namespace[name] = main

    def _reseed(self) -> None:
        """Reseed random number generators, so that no two jobs share entropy."""
        self._preloaded.generators.reseed()
        if (process := sys.modules.get("multiprocessing.process")) is not None:
            main = process.current_process()
            main.authkey = os.urandom(len(main.authkey))


def _references_to(target: object) -> "list[tuple[dict[str, Any], str]]":
    """Return the namespaces and names under which modules refer to an object."""
    return [
        (namespace, name)
        for namespace in (sys.modules, *namespaces())
        for name, value in list(namespace.items())
        if value is target
    ]


def _now_in_unit_of(moment: float) -> float:
    """Return the current time in seconds, or in nanoseconds as in Python 3.13."""
    return time.time_ns() if isinstance(moment, int) else time.time()


def _paths_below(folders: "list[str]") -> "list[tuple[dict[str, Any], str]]":
    """Return the namespaces and names of values in modules that contain one of these paths."""
    distinct = {id(namespace): namespace for namespace in _namespaces_and_below()}
    return [
        (namespace, name)
        for namespace in distinct.values()
        for name, value in list(namespace.items())
        if _contains(value, folders)
    ]


def _contains(value: object, folders: "list[str]") -> bool:
    """Return whether a text, a path or a list of these contains one of the folders."""
    # by type: reading an attribute of a lazily importing object would make it import
    if type(value) is list:
        return any(type(item) is not list and _contains(item, folders) for item in value)
    return _is_text(value) and any(folder in str(value) for folder in folders)


def _moved(value: Any, moves: "list[tuple[str, str]]") -> Any:
    """Return a text or a path with the moves applied; change a list in place."""
    if type(value) is list:
        value[:] = [_moved(item, moves) if _is_text(item) else item for item in value]
        return value
    text = str(value)
    for old, new in moves:
        text = text.replace(old, new)
    return type(value)(text)


def _is_text(value: object) -> bool:
    pathlib: Any = sys.modules.get("pathlib")
    return type(value) is str or (
        pathlib is not None and type(value) in (pathlib.PosixPath, pathlib.PurePosixPath)
    )


def _closures_and_caches_with(folders: "list[str]") -> "tuple[list[Any], list[Any]]":
    """Return variables of closures, and functions with cached results, that contain such a path."""
    cells: list[Any] = []
    functions: list[Any] = []
    for found in gc.get_objects():
        # one pass, with the quick comparison first: there are some 500,000 objects
        if type(found) is types.CellType:
            if any(_contains(value, folders) for value in _content_of(found)):
                cells.append(found)
        elif type(found) is functools._lru_cache_wrapper and any(
            _contains(result, folders) for result in _cached_by(found)
        ):
            functions.append(found)
    return cells, functions


def _content_of(cell: types.CellType) -> "list[object]":
    try:
        return [cell.cell_contents]
    except ValueError:  # not assigned yet
        return []


def _cached_by(function: object) -> "Iterator[object]":
    # the function refers to the results of a limited cache; an unlimited cache is a dictionary
    for referent in gc.get_referents(function):
        if type(referent) is dict:
            yield from list(referent.values())
        else:
            yield referent


def _namespaces_and_below() -> "Iterator[dict[str, Any]]":
    """Yield the namespaces of all modules, and of the dictionaries and objects in them."""
    for namespace in namespaces():
        yield namespace
        for value in list(namespace.values()):
            if type(value) is dict:
                yield value
            elif not issubclass(type(value), WITHOUT_TEXT):
                try:
                    # bypassing the object's own attribute lookup
                    below = object.__getattribute__(value, "__dict__")
                except AttributeError:
                    continue
                if type(below) is dict:
                    yield below


# --- handing over -----------------------------------------------------------------------------


def _hand_over(script: int, path: str) -> None:
    """Make the interpreter run the script once an exception has left all Python code."""
    library = ctypes.CDLL(None)
    library.fdopen.restype = ctypes.c_void_p
    name = os.fsencode(path)

    def tidy() -> ctypes.c_int:
        sys.excepthook = sys.__excepthook__
        for trace in ("last_type", "last_value", "last_traceback", "last_exc"):
            if hasattr(sys, trace):
                delattr(sys, trace)
        # the call of the hook must not count towards the script's recursion limit
        ctypes.pythonapi.Py_LeaveRecursiveCall()
        return ctypes.c_int(True)  # close the file

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
    """Return an argument type that converts any value to the result of `make`."""

    class Argument:
        @classmethod
        def from_param(cls, _: object) -> object:
            return make()

    return Argument


def _ended(code: int) -> None:
    """Exit with 0 after success; otherwise the interpreter exits as after any failed script."""
    if code == 0:
        raise SystemExit(0)
