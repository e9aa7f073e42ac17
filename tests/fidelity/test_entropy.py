"""What a script draws without a seed is drawn anew in each job."""

from pathlib import Path

from asgard_async.execution.warm.server import ForkServer
from tests.fidelity.starts import Case, by_shim

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


async def test_generators_that_modules_seed_when_imported_differ_as_well(
    tmp_path: Path, warm_server: ForkServer
) -> None:
    """Such as one that is the default of an argument."""
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
