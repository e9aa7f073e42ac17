"""Fit a line to noisy points and log the quality of the fit."""

import mlflow
import numpy as np

rng = np.random.default_rng(seed=7)
x = np.linspace(0, 10, 200)
y = 3.0 * x + 2.0 + rng.normal(scale=1.5, size=x.size)

with mlflow.start_run(run_name="linear-regression"):
    slope, intercept = np.polyfit(x, y, deg=1)
    residuals = y - (slope * x + intercept)
    r2 = 1 - residuals.var() / y.var()
    mlflow.log_params({"points": x.size, "noise": 1.5})
    mlflow.log_metrics({"slope": slope, "intercept": intercept, "r2": r2})
    print(f"y = {slope:.2f} x + {intercept:.2f}, r² = {r2:.3f}")
