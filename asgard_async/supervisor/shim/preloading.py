"""What a fork server imports, and what has to be known of it for those that are forked."""

import gc
import importlib
import os
import sys
import threading
import time
import traceback
from typing import Any

from .entropy import Generators
from .installed import gather_packages

THREADS_END_SECONDS = 10.0


class Preloaded:
    """What importing has left in the interpreter."""

    def __init__(self) -> None:
        self.failed: dict[str, str] = {}
        """Modules that are not there or cannot be imported, and why."""
        self.variables_read: set[str] = set()
        """Environment variables that were looked at."""
        self.variables_set: dict[str, str] = {}
        self.packages: set[str] = set()
        """The packages and modules of the top level, those of the standard library aside."""
        self.generators = Generators()
        """What was seeded by chance meanwhile."""
        self.seconds = 0.0


def preload(names: "list[str]") -> Preloaded:
    """Import modules, one after the other; one that fails is left out."""
    begun = time.monotonic()
    preloaded = Preloaded()
    environment = dict(os.environ)
    stop = _watch_reads(preloaded.variables_read)
    stop_watching_seeds = preloaded.generators.watch()
    gc.disable()  # what is imported stays
    for name in names:
        try:
            importlib.import_module(name)
        except Exception as error:
            preloaded.failed[name] = f"{type(error).__name__}: {error}"
            if not isinstance(error, ModuleNotFoundError):
                traceback.print_exc()
    gather_packages()
    stop()
    stop_watching_seeds()
    _wait_for_threads()
    _forget_what_was_warned_of()
    gc.collect()
    gc.enable()
    preloaded.variables_set = {
        name: value for name, value in os.environ.items() if environment.get(name) != value
    }
    preloaded.packages = (
        {name for name in sys.modules if "." not in name}
        - sys.stdlib_module_names
        - {"__main__", "asgard_async"}
    )
    preloaded.seconds = time.monotonic() - begun
    return preloaded


def namespaces() -> "list[dict[str, Any]]":
    """Those of all modules; some put other things into their place."""
    found = [getattr(module, "__dict__", None) for module in list(sys.modules.values())]
    return [namespace for namespace in found if isinstance(namespace, dict)]


def _watch_reads(names: "set[str]") -> Any:
    """Note which variables are looked up, until what is returned is called."""
    environ: Any = type(os.environ)
    look_up = environ.__getitem__

    def noted(self: Any, name: Any) -> Any:
        names.add(os.fsdecode(name) if isinstance(name, bytes) else str(name))
        return look_up(self, name)

    environ.__getitem__ = noted

    def stop() -> None:
        environ.__getitem__ = look_up

    return stop


def _wait_for_threads() -> None:
    """A thread is not there in a forked process, but a lock that it holds is."""
    deadline = time.monotonic() + THREADS_END_SECONDS
    for thread in threading.enumerate():
        if thread is not threading.main_thread():
            thread.join(max(0.0, deadline - time.monotonic()))
    if left := threading.enumerate()[1:]:
        raise SystemExit(f"importing has started threads that do not end: {left}")


def _forget_what_was_warned_of() -> None:
    for namespace in namespaces():
        namespace.pop("__warningregistry__", None)
    sys.modules["warnings"].__dict__.get("onceregistry", {}).clear()
    if (linecache := sys.modules.get("linecache")) is not None:
        linecache.clearcache()
