"""Preloading of modules in a fork server, and the effects of the imports."""

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
    """The effects of imports on the interpreter."""

    def __init__(self) -> None:
        self.failed: dict[str, str] = {}
        """Modules that are missing or cannot be imported, with the reason."""
        self.variables_read: set[str] = set()
        """Environment variables that were read."""
        self.variables_set: dict[str, str] = {}
        """Environment variables that were set or changed."""
        self.packages: set[str] = set()
        """Top-level packages and modules, without the standard library."""
        self.generators = Generators()
        """Random number generators that were seeded."""
        self.seconds = 0.0


def preload(names: "list[str]") -> Preloaded:
    """Import modules in this order, skipping those that fail."""
    started_at = time.monotonic()
    preloaded = Preloaded()
    environment = dict(os.environ)
    stop = _watch_reads(preloaded.variables_read)
    stop_watching_seeds = preloaded.generators.watch()
    gc.disable()  # imported objects stay alive anyway
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
    _clear_warning_registries()
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
    preloaded.seconds = time.monotonic() - started_at
    return preloaded


def namespaces() -> "list[dict[str, Any]]":
    """Return the namespaces of all modules; some modules replace themselves with other objects."""
    attributes = [getattr(module, "__dict__", None) for module in list(sys.modules.values())]
    return [namespace for namespace in attributes if isinstance(namespace, dict)]


def _watch_reads(names: "set[str]") -> Any:
    """Record which variables are read, until the returned function is called."""
    environ: Any = type(os.environ)
    look_up = environ.__getitem__

    def recording_read(self: Any, name: Any) -> Any:
        names.add(os.fsdecode(name) if isinstance(name, bytes) else str(name))
        return look_up(self, name)

    environ.__getitem__ = recording_read

    def stop() -> None:
        environ.__getitem__ = look_up

    return stop


def _wait_for_threads() -> None:
    """Wait for threads to end: forked processes inherit locks held by threads, but no threads."""
    deadline = time.monotonic() + THREADS_END_SECONDS
    for thread in threading.enumerate():
        if thread is not threading.main_thread():
            thread.join(max(0.0, deadline - time.monotonic()))
    if remaining := threading.enumerate()[1:]:
        raise SystemExit(f"preloaded modules started threads that keep running: {remaining}")


def _clear_warning_registries() -> None:
    for namespace in namespaces():
        namespace.pop("__warningregistry__", None)
    sys.modules["warnings"].__dict__.get("onceregistry", {}).clear()
    if (linecache := sys.modules.get("linecache")) is not None:
        linecache.clearcache()
