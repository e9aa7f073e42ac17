"""MLflow, spoken to over REST: the service never imports mlflow."""
