"""The end of a forked interpreter, which leaves alone what it shares with its fork server.

At its end, CPython empties every module. Of what was preloaded, nearly every page would be copied
for that, only to be freed: a seventh of a small training's time. So preloaded modules are taken
out of its sight, unless that could be noticed.
"""

import atexit
import ctypes
import gc
import os
import sys
import threading
from types import FunctionType, ModuleType


class Ending:
    """To be made before anything is imported: what is registered first is called last."""

    def __init__(self) -> None:
        self._shared: dict[str, ModuleType] = {}
        atexit.register(self._leave_alone)

    def share(self) -> None:
        """Leave alone what is imported by now, packages aside that have made something which does
        something when it is freed."""
        finalized = _packages_with_finalizers()
        others = {"__main__", "asgard_async", "sys", "builtins"}
        kept = []
        for name, module in sys.modules.items():
            package = name.partition(".")[0]
            # by type: some import when they are asked for anything
            if package in others or not issubclass(type(module), ModuleType):
                continue
            kept.append(module)
            if package not in finalized:
                self._shared[name] = module
        # The shared ones are not to go when this object goes. The others would be collected as
        # garbage by hand; here they are frozen, so only one that is still there is emptied.
        ctypes.pythonapi.Py_IncRef(ctypes.py_object(kept))

    def _leave_alone(self) -> None:
        if _would_be_noticed():
            return
        for name, module in self._shared.items():
            if sys.modules.get(name) is module:
                # as CPython does, which then looks no further
                sys.modules[name] = None  # type: ignore[assignment]


def _packages_with_finalizers() -> "set[str]":
    return {
        str(kind.__module__).partition(".")[0]
        for kind in _kinds()
        if isinstance(getattr(kind, "__del__", None), FunctionType)
    }


def _kinds() -> "set[type]":
    return {type(one) for one in gc.get_objects()}


def _would_be_noticed() -> bool:
    """Whether anything of the job's own could do something when it is freed, such as a file that is
    still to be written, and so would not if a preloaded module held it."""
    if len(threading.enumerate()) > 1 or _has_children():
        return True
    # what was there before the fork is frozen, and not among these
    return any(hasattr(kind, "__del__") for kind in _kinds())


def _has_children() -> bool:
    try:
        os.waitid(os.P_ALL, 0, os.WEXITED | os.WNOHANG | os.WNOWAIT)
    except ChildProcessError:
        return False
    return True
