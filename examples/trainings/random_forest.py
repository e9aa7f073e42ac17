"""Train a random forest on synthetic data, and log it with its model to MLflow.

Asgard sets the tracking server, the experiment and the job's tags, so the script does not.
"""

import time
from importlib.metadata import version

import mlflow
from sklearn.datasets import make_classification
from sklearn.ensemble import RandomForestClassifier
from sklearn.metrics import (
    accuracy_score,
    f1_score,
    log_loss,
    precision_score,
    recall_score,
    roc_auc_score,
)
from sklearn.model_selection import train_test_split

PARAMS = {"n_estimators": 150, "max_depth": 12, "min_samples_leaf": 2, "random_state": 42}
SAMPLES, FEATURES, TEST_SHARE = 2_000, 30, 0.25

features, labels = make_classification(
    n_samples=SAMPLES, n_features=FEATURES, n_informative=12, n_redundant=6, random_state=42
)
train_x, test_x, train_y, test_y = train_test_split(
    features, labels, test_size=TEST_SHARE, stratify=labels, random_state=42
)
print(f"Training on {len(train_x)} samples, testing on {len(test_x)}", flush=True)

with mlflow.start_run(run_name="random-forest"):
    mlflow.log_params(
        {
            **PARAMS,
            "n_samples": SAMPLES,
            "n_features": FEATURES,
            "test_size": TEST_SHARE,
            "criterion": "gini",
        }
    )
    started = time.perf_counter()
    model = RandomForestClassifier(**PARAMS, n_jobs=2).fit(train_x, train_y)
    seconds = time.perf_counter() - started
    print(f"Fitted {PARAMS['n_estimators']} trees in {seconds:.2f} s", flush=True)

    predicted = model.predict(test_x)
    probability = model.predict_proba(test_x)[:, 1]
    metrics = {
        "accuracy": accuracy_score(test_y, predicted),
        "precision": precision_score(test_y, predicted),
        "recall": recall_score(test_y, predicted),
        "f1": f1_score(test_y, predicted),
        "roc_auc": roc_auc_score(test_y, probability),
        "log_loss": log_loss(test_y, probability),
        "train_accuracy": accuracy_score(train_y, model.predict(train_x)),
        "fit_seconds": seconds,
    }
    mlflow.log_metrics(metrics)
    for name, value in metrics.items():
        print(f"  {name:<15} {value:.4f}", flush=True)

    # Without pip_requirements MLflow loads the model in a second process to infer them, which takes
    # longer than the training. MLflow stores the model with skops, which must be told to trust the
    # trees in it.
    mlflow.sklearn.log_model(
        model,
        name="model",
        pip_requirements=[f"scikit-learn=={version('scikit-learn')}"],
        skops_trusted_types=["sklearn.tree._tree.Tree"],
    )
    print("Logged the model", flush=True)
