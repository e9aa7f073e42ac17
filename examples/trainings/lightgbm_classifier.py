"""Train a LightGBM classifier; submit it with `"requirements": ["lightgbm"]`.

Asgard builds an environment for it once; later jobs with the same requirements reuse it.
"""

from importlib.metadata import version

import lightgbm
import mlflow
from sklearn.datasets import make_classification
from sklearn.metrics import accuracy_score
from sklearn.model_selection import train_test_split

features, labels = make_classification(n_samples=2_000, n_features=30, random_state=42)
train_x, test_x, train_y, test_y = train_test_split(features, labels, random_state=42)

with mlflow.start_run(run_name="lightgbm"):
    model = lightgbm.LGBMClassifier(n_estimators=100, num_leaves=15, verbose=-1)
    model.fit(train_x, train_y)
    accuracy = accuracy_score(test_y, model.predict(test_x))
    mlflow.log_params({"n_estimators": 100, "num_leaves": 15})
    mlflow.log_metric("accuracy", accuracy)
    mlflow.lightgbm.log_model(
        model, name="model", pip_requirements=[f"lightgbm=={version('lightgbm')}"]
    )
    print(f"lightgbm {lightgbm.__version__}: accuracy {accuracy:.4f}")
