"""Tests of the middleware in front of the embedded MLflow."""
