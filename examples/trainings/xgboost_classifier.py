"""Train an XGBoost classifier; submit it with `"requirements": ["xgboost"]`.

Asgard builds an environment for it once; later jobs with the same requirements reuse it.
"""

from importlib.metadata import version

import mlflow
import xgboost
from sklearn.datasets import make_classification
from sklearn.metrics import accuracy_score
from sklearn.model_selection import train_test_split

features, labels = make_classification(n_samples=2_000, n_features=30, random_state=42)
train_x, test_x, train_y, test_y = train_test_split(features, labels, random_state=42)

with mlflow.start_run(run_name="xgboost"):
    model = xgboost.XGBClassifier(n_estimators=100, max_depth=4)
    model.fit(train_x, train_y)
    accuracy = accuracy_score(test_y, model.predict(test_x))
    mlflow.log_params({"n_estimators": 100, "max_depth": 4})
    mlflow.log_metric("accuracy", accuracy)
    mlflow.xgboost.log_model(
        model, name="model", pip_requirements=[f"xgboost=={version('xgboost')}"]
    )
    print(f"xgboost {xgboost.__version__}: accuracy {accuracy:.4f}")
