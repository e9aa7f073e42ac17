"""MLflow over its REST API; the service never imports mlflow itself."""
