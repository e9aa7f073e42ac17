"""Unseeded random numbers differ between jobs."""

from pathlib import Path

import pytest

from asgard_async.executors.local.warm.server import ForkServer
from tests.support.fidelity_starts import Case, by_shim
from tests.support.fork_servers import fork_server

DRAWS = """
import multiprocessing, random, secrets, tempfile, uuid
import numpy, numpy.random, scipy.stats
from sklearn.utils import check_random_state

print("random", random.random())
print("numpy", numpy.random.rand())
print("numpy.default_rng", numpy.random.default_rng().random())
print("numpy.random.normal", numpy.random.normal())
print("scipy.stats", scipy.stats.norm.rvs())
print("sklearn", check_random_state(None).rand())
print("secrets", secrets.token_hex())
print("uuid1", uuid.uuid1())
print("uuid4", uuid.uuid4())
print("tempfile", tempfile.mktemp())
print("authkey", multiprocessing.current_process().authkey.hex())
"""


async def test_two_warm_jobs_share_no_entropy(tmp_path: Path, warm_server: ForkServer) -> None:
    case = Case(script=DRAWS)
    first = await by_shim(case, tmp_path / "1", warm_server)
    second = await by_shim(case, tmp_path / "2", warm_server)
    assert first.exit_code == second.exit_code == 0
    lines = list(zip(first.output.splitlines(), second.output.splitlines(), strict=True))
    assert len(lines) == DRAWS.count("print(")
    assert [one for one, other in lines if one == other] == []


async def test_generators_seeded_on_import_differ(tmp_path: Path, warm_server: ForkServer) -> None:
    """For example a generator that is a default argument."""
    script = """
import gc, numpy
gc.unfreeze()
found = [one for one in gc.get_objects() if type(one) is numpy.random.Generator]
print(sorted(one.random() for one in found))
"""
    case = Case(script=script)
    first = await by_shim(case, tmp_path / "1", warm_server)
    second = await by_shim(case, tmp_path / "2", warm_server)
    assert first.output != "[]\n"
    assert first.output != second.output


async def test_generators_of_any_preloaded_module_differ(tmp_path: Path) -> None:
    """Generators with a fixed seed are as in a manual start."""
    pytest.importorskip("numpy")
    (tmp_path / "draws.py").write_text(
        """
import random
import numpy
RANDOM = random.Random()
AGAIN = random.Random(1)
AGAIN.seed()
SEEDED = random.Random(1)
class Holder:
    def __init__(self):
        self.state = numpy.random.RandomState()
        self.seeded = numpy.random.RandomState(1)
HOLDER = Holder()
numpy.random.seed(2)
"""
    )
    script = """
import sys
sys.path.append("../..")
import draws, numpy
for one in (draws.RANDOM, draws.AGAIN, draws.HOLDER.state):
    print(one.uniform(0, 1))
for one in (draws.SEEDED, draws.HOLDER.seeded, numpy.random):
    print(one.uniform(0, 1))
"""
    case = Case(script=script)
    async with fork_server(tmp_path / "server", ["draws"], PYTHONPATH=str(tmp_path)) as server:
        seen = [await by_shim(case, tmp_path / name, server) for name in ("1", "2")]
    cold = await by_shim(case, tmp_path / "cold", None)
    first, second, by_hand = [one.output.splitlines() for one in (*seen, cold)]
    assert len(set(first[:3] + second[:3])) == 6
    assert first[3:] == second[3:] == by_hand[3:]
