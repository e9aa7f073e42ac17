import os
import warnings

import mlflow
import mlflow.sklearn
import sklearn.ensemble
import skops.io
from mlflow.legacy_databricks_cli.configure import provider

names = set(os.environ) - {"_MLFLOW_TELEMETRY_SESSION_ID"}
print({name: os.environ[name] for name in sorted(names)})
print(provider._home, mlflow.get_tracking_uri())

import numpy
import pandas
import sklearn.datasets
import sklearn.linear_model
import sklearn.metrics
import sklearn.model_selection
import sklearn.pipeline
import sklearn.preprocessing

for one in warnings.filters:
    print(one)
