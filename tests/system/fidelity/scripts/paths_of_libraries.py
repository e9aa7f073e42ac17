import os
import sysconfig

import mlflow
from mlflow.environment_variables import MLFLOW_ENV_ROOT

home = os.environ["HOME"]
print(sysconfig.get_config_var("userbase"), os.path.expanduser("~"))
print(MLFLOW_ENV_ROOT.get(), MLFLOW_ENV_ROOT.get().startswith(home), MLFLOW_ENV_ROOT)
print(mlflow.__name__)
