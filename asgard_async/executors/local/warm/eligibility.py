"""Eligibility of jobs for warm starts, in an interpreter with preloaded modules."""

from collections.abc import Mapping

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from asgard_async.domain.status import ColdReason
from asgard_async.executors.base import AttemptRequest
from asgard_async.executors.local.interpreter import Interpreter
from asgard_async.executors.local.warm.server import ForkServer
from asgard_async.supervisor.shim.interpreter import MOVED

READ_BY_LIBRARIES = (
    # read by the interpreter and the loader, before any import
    *("PYTHON", "LD_", "MALLOC_", "GLIBC_", "LC_", "LANGUAGE", "TZ"),
    # by packages' hooks at the start of the interpreter (*.pth)
    *("COVERAGE_", "SETUPTOOLS_"),
    # by compiled libraries when they are loaded
    *("OMP_", "GOMP_", "KMP_", "MKL_", "OPENBLAS_", "GOTO_", "BLIS_", "VECLIB_", "NUMEXPR_"),
    *("CUDA_", "NVIDIA_", "TORCH_", "PYTORCH_", "TF_", "XLA_", "JAX_", "ARROW_", "JE_"),
    *("MIMALLOC_", "OPENSSL_"),
    # by modules that iterate over all variables, or on import
    *("MLFLOW_", "TQDM_", "MPL", "MATPLOTLIB", "NPY_", "NUMPY_", "SCIPY_", "SKLEARN_", "PANDAS_"),
    *("JOBLIB_", "LOKY_", "NUMBA_", "HF_", "TRANSFORMERS_", "OTEL_", "GRPC_", "PROTOCOL_BUFFERS_"),
)
"""Prefixes of variables that are read in ways that the fork server cannot detect. It detects
lookups by Python modules itself."""

MLFLOW = frozenset({"mlflow", "mlflow-skinny"})


def reason_of_job(request: AttemptRequest, interpreter: Interpreter) -> ColdReason | None:
    """Return why a job starts cold regardless of the fork server's imports, or None."""
    if not request.warm:
        return ColdReason.REQUESTED
    if request.is_notebook:
        return ColdReason.NOTEBOOK
    if any(name.startswith(READ_BY_LIBRARIES) for name in request.own_variables):
        return ColdReason.VARIABLES
    # in the base environment, such a requirement is satisfied by the preloaded mlflow
    if not interpreter.is_base and MLFLOW & {
        canonicalize_name(Requirement(text).name) for text in request.requirements
    }:
        return ColdReason.REQUIREMENTS
    return None


def reason_of_match(
    request: AttemptRequest,
    modules: frozenset[str],
    variables: Mapping[str, str],
    server: ForkServer,
    memory_limit_bytes: int,
) -> ColdReason | None:
    """Return why a job cannot be forked from a ready server, or None.

    `modules` are the modules in the script's directory, `variables` are all environment variables
    of the job, and `memory_limit_bytes` limits the address space (0 for no limit).
    """
    facts = server.facts
    assert facts is not None  # noqa: S101  # set when the server became ready
    if request.imports is not None and not request.imports & facts.packages:
        return ColdReason.IMPORTS
    if modules & facts.modules:
        return ColdReason.MODULES
    for name in facts.variables.difference(MOVED):
        if variables.get(name) != server.environment.get(name):
            return ColdReason.VARIABLES
    if 0 < memory_limit_bytes < 2 * facts.address_space:
        return ColdReason.MEMORY_LIMIT
    return None
