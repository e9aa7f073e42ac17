"""The exit of a forked interpreter, without touching the memory that it shares with its server.

On exit, CPython clears every module. For preloaded modules, this would copy nearly every page only
to free it, which takes a seventh of a small training's time. So these modules are hidden from
CPython, unless a script could notice.
"""

import atexit
import ctypes
import gc
import os
import sys
import threading
from types import FunctionType, ModuleType


class Ending:
    """Hides shared modules on exit.

    Create this object before all imports: the exit handler registered first is called last.
    """

    def __init__(self) -> None:
        self._shared: dict[str, ModuleType] = {}
        atexit.register(self._hide)

    def share(self) -> None:
        """Share the modules imported so far, except for packages with finalizers."""
        finalized = _packages_with_finalizers()
        excluded = {"__main__", "asgard_async", "sys", "builtins"}
        modules = []
        for name, module in sys.modules.items():
            package = name.partition(".")[0]
            # by type: some modules import others when any attribute is read
            if package in excluded or not issubclass(type(module), ModuleType):
                continue
            modules.append(module)
            if package not in finalized:
                self._shared[name] = module
        # Shared modules must outlive this object. In an ordinary interpreter, the garbage collector
        # would collect the other modules. Here they are frozen, so CPython clears only live ones.
        ctypes.pythonapi.Py_IncRef(ctypes.py_object(modules))

    def _hide(self) -> None:
        if _would_be_noticed():
            return
        for name, module in self._shared.items():
            if sys.modules.get(name) is module:
                # CPython does the same, and skips such entries
                sys.modules[name] = None  # type: ignore[assignment]


def _packages_with_finalizers() -> "set[str]":
    return {
        str(kind.__module__).partition(".")[0]
        for kind in _kinds()
        if isinstance(getattr(kind, "__del__", None), FunctionType)
    }


def _kinds() -> "set[type]":
    return {type(instance) for instance in gc.get_objects()}


def _would_be_noticed() -> bool:
    """Return whether an object created by the job has a finalizer, for example an open file.

    The finalizer would not run if a shared module referred to the object.
    """
    if len(threading.enumerate()) > 1 or _has_children():
        return True
    # objects from before the fork are frozen, so they are not included
    return any(hasattr(kind, "__del__") for kind in _kinds())


def _has_children() -> bool:
    try:
        os.waitid(os.P_ALL, 0, os.WEXITED | os.WNOHANG | os.WNOWAIT)
    except ChildProcessError:
        return False
    return True
