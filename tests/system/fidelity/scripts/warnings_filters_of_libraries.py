import warnings

import mlflow
import mlflow.sklearn
import numpy
import pandas
import sklearn.datasets
import sklearn.ensemble
import sklearn.linear_model
import sklearn.metrics
import sklearn.model_selection
import sklearn.pipeline
import sklearn.preprocessing
import skops.io

for one in warnings.filters:
    print(one)
