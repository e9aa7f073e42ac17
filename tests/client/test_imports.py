"""Importing the client imports nothing of the service and nothing heavy."""

import json
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parent.parent.parent
PROGRAM = """
import json, sys, threading
import asgard_async.client
print(json.dumps([sorted(sys.modules), threading.active_count()]))
"""
# Asgard's modules that may be imported, and other packages that must not be.
ALLOWED = ("asgard_async", "asgard_async.client")
HEAVY = {
    "mlflow",
    "numpy",
    "pandas",
    "click",
    "rich",
    "marshmallow",
    "aiosqlite",
    "aiohttp_apispec",
}


def test_the_client_imports_no_other_package() -> None:
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM], cwd=ROOT, capture_output=True, text=True, check=True
    )
    modules, threads = json.loads(done.stdout)
    own = {name for name in modules if name.split(".")[0] == "asgard_async"}
    assert {name for name in own if ".".join(name.split(".")[:2]) not in ALLOWED} == set()
    assert {name.split(".")[0] for name in modules} & HEAVY == set()
    assert threads == 1
