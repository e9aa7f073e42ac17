"""Hints on exceptions of MLflow, and of skops in its place."""

from asgard_async.jobs.hints.row import Row

REQUEST_FAILED = r"^mlflow\.exceptions\.MlflowException: API request to .{0,800}"

TRACKING = (
    # --- models ---------------------------------------------------------------------------
    Row(
        exception=r"(?P<untrusted>references untrusted types).{0,800}skops_trusted_types",
        text="Pass skops_trusted_types={types} to log_model, or"
        ' serialization_format="cloudpickle" to store the model as a pickle.',
    ),
    Row(
        exception=r"(?P<untrusted>Untrusted types found in the file)",
        text="Pass trusted={types} to skops.io.load if you trust the author of the file.",
    ),
    Row(
        exception=r"RESOURCE_ALREADY_EXISTS: Registered Model",
        text='Remove create_registered_model: Asgard registers the job\'s model under "model_name"'
        " once the job has completed. mlflow.register_model also accepts an existing name and adds"
        " a version.",
    ),
    Row(
        exception=r"INVALID_PARAMETER_VALUE: Invalid model name \(",
        text='log_model names the model within its run: name="model" is enough. The registered name'
        ' is the submission\'s "model_name".',
    ),
    Row(
        exception=r"INVALID_PARAMETER_VALUE: Invalid model name '",
        text="Remove registered_model_name: Asgard registers the model under the submission's"
        ' "model_name". Registered names must not contain "/" or ":".',
    ),
    # --- experiments and runs -------------------------------------------------------------
    Row(
        exception=r"Cannot set a deleted experiment '(?P<experiment>[^'\n]{1,200})'",
        text='The experiment "{experiment}" is deleted in MLflow: restore it (mlflow experiments'
        " restore, or MlflowClient.restore_experiment), or take another name.",
    ),
    Row(
        exception=r"The experiment \w{1,64} must be in the 'active' state\. Current state is"
        r" deleted",
        text='The experiment ("{experiment}", unless the script selects another) is deleted in'
        " MLflow: restore it (mlflow experiments restore, or MlflowClient.restore_experiment), or"
        " take another name.",
    ),
    Row(
        exception=r"RESOURCE_ALREADY_EXISTS: Experiment",
        text="Remove create_experiment: Asgard creates the submission's experiment and selects it."
        " For another one use mlflow.set_experiment(name), which also accepts existing ones; a"
        " deleted one must be restored first.",
    ),
    Row(
        exception=r"Changing param values is not allowed",
        text="A parameter can be logged once per run: log changing values with log_metric and a"
        " step, or start a nested run for each value (mlflow.start_run(nested=True)).",
    ),
    Row(
        exception=r"^Exception: Run with UUID \w{1,64} is already active",
        text="Use `with mlflow.start_run():`, which ends the run when the block ends, or pass"
        " nested=True for a run inside another. Calling log_param or log_metric before start_run"
        " opens a run as well.",
    ),
    # --- connections ----------------------------------------------------------------------
    Row(
        exception=rf"{REQUEST_FAILED}ProxyError",
        text="The request to MLflow went to a proxy. Asgard adds MLflow's host to NO_PROXY: keep"
        " it there if the script sets NO_PROXY, or a proxy, itself.",
    ),
    Row(
        exception=rf"{REQUEST_FAILED}(?:Connection refused|Max retries exceeded|timed out"
        r"|NameResolutionError)",
        text="MLflow did not answer at that address. Remove set_tracking_uri: Asgard sets"
        " MLFLOW_TRACKING_URI. If the address is Asgard's, see GET /mlops/status and retry the"
        " job.",
    ),
)
