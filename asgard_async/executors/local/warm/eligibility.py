"""Whether a job can start warm: in an interpreter that has imported things already."""

from collections.abc import Mapping

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from asgard_async.domain.status import ColdReason
from asgard_async.executors.base import AttemptRequest
from asgard_async.executors.local.warm.server import ForkServer
from asgard_async.supervisor.shim.interpreter import MOVED

READ_BY_LIBRARIES = (
    # by the interpreter and the loader, before any import
    *("PYTHON", "LD_", "MALLOC_", "GLIBC_", "LC_", "LANGUAGE", "TZ"),
    # by what packages hang into the start of the interpreter (*.pth)
    *("COVERAGE_", "SETUPTOOLS_"),
    # by compiled libraries when they are loaded
    *("OMP_", "GOMP_", "KMP_", "MKL_", "OPENBLAS_", "GOTO_", "BLIS_", "VECLIB_", "NUMEXPR_"),
    *("CUDA_", "NVIDIA_", "TORCH_", "PYTORCH_", "TF_", "XLA_", "JAX_", "ARROW_", "JE_"),
    *("MIMALLOC_", "OPENSSL_"),
    # by modules that go through all variables, or when they are imported
    *("MLFLOW_", "TQDM_", "MPL", "MATPLOTLIB", "NPY_", "NUMPY_", "SCIPY_", "SKLEARN_", "PANDAS_"),
    *("JOBLIB_", "LOKY_", "NUMBA_", "HF_", "TRANSFORMERS_", "OTEL_", "GRPC_", "PROTOCOL_BUFFERS_"),
)
"""Beginnings of names. What Python modules look up is noticed by the fork server itself; this is
for what it cannot see."""

MLFLOW = frozenset({"mlflow", "mlflow-skinny"})


def reason_of_job(request: AttemptRequest) -> ColdReason | None:
    """Why a job starts cold whatever its fork server has imported."""
    if not request.warm:
        return ColdReason.REQUESTED
    if any(name.startswith(READ_BY_LIBRARIES) for name in request.own_variables):
        return ColdReason.VARIABLES
    if request.held and MLFLOW & {
        canonicalize_name(Requirement(text).name) for text in request.requirements
    }:
        return ColdReason.REQUIREMENTS  # in the base environment they mean the one that is there
    return None


def reason_of_match(
    request: AttemptRequest,
    beside: frozenset[str],
    environment: Mapping[str, str],
    server: ForkServer,
    memory_limit_bytes: int,
) -> ColdReason | None:
    """Why a job cannot be forked from a server that is ready.

    `beside` are the modules beside its script, `environment` all its variables, and the memory
    limit is one of address space (0 for none).
    """
    facts = server.facts
    assert facts is not None  # noqa: S101  # told when it became ready
    if request.imports is not None and not request.imports & facts.packages:
        return ColdReason.IMPORTS
    if beside & facts.modules:
        return ColdReason.MODULES
    for name in facts.variables.difference(MOVED):
        if environment.get(name) != server.environment.get(name):
            return ColdReason.VARIABLES
    if 0 < memory_limit_bytes < 2 * facts.address_space:
        return ColdReason.MEMORY_LIMIT
    return None
