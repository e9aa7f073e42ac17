import logging
import os
import sysconfig

import mlflow
from mlflow.environment_variables import MLFLOW_ENV_ROOT

print(logging.getLogger().handlers, logging.getLogger().level, logging.lastResort)
for name in ("mlflow", "alembic", "urllib3", "matplotlib"):
    logger = logging.getLogger(name)
    print(name, logger.level, logger.handlers, logger.propagate)
logging.warning("to the last resort")
logging.getLogger("mine").error("and through a logger")
mlflow_logger = logging.getLogger("mlflow")
record = mlflow_logger.makeRecord("mlflow", 20, "f", 1, "m", (), None)
print(record.relativeCreated < 60_000, record.processName, record.threadName)

home = os.environ["HOME"]
print(sysconfig.get_config_var("userbase"), os.path.expanduser("~"))
print(MLFLOW_ENV_ROOT.get(), MLFLOW_ENV_ROOT.get().startswith(home), MLFLOW_ENV_ROOT)
print(mlflow.__name__)

import sklearn.linear_model

print(mlflow.get_tracking_uri(), mlflow.active_run())
mlflow.sklearn.autolog(disable=True)
print("done")
