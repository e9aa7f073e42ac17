import logging
import os
import shutil

os.environ["MLFLOW_ALLOW_FILE_STORE"] = "true"
import mlflow
from mlflow import MlflowClient
from sklearn.linear_model import LinearRegression

logging.getLogger("mlflow").setLevel(logging.ERROR)
mlflow.set_tracking_uri("file:runs")  # a database is slower to make
mlflow.set_experiment("e")
mlflow.autolog(log_models=False, silent=True)
model = LinearRegression().fit([[0.0], [1.0], [2.0]], [0.0, 1.0, 2.0])
run = mlflow.last_active_run()
print(run.info.status, sorted(run.data.metrics), run.data.params)
tags = {name: value for name, value in run.data.tags.items() if "autolog" in name or "source" in name}
print(sorted(tags.items()), mlflow.active_run())
shutil.rmtree("runs")
shutil.rmtree("mlruns", ignore_errors=True)
shutil.rmtree("mlartifacts", ignore_errors=True)
