import mlflow
import sklearn.linear_model

print(mlflow.get_tracking_uri(), mlflow.active_run())
mlflow.sklearn.autolog(disable=True)
print("done")
