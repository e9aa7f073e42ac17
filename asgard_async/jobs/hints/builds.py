"""Hints on environments that could not be built: what uv's messages do not say."""

from asgard_async.jobs.hints.row import Row

BUILDS = (
    Row(
        build=r"\bmlflow==(?P<version>\d[\w.]{0,30})[^\n]{0,300}requirements are unsatisfiable",
        unless=("mlflow required",),
        text='Asgard added mlflow=={version}, the version of the service, because "requirements" do'
        " not name mlflow. Change the requirements that do not fit it, or add an mlflow that fits"
        " them.",
    ),
    Row(
        build=r"\bBecause (?P<distribution>[A-Za-z][\w.-]{0,100}) was not found in the package"
        r" registry and you require ",
        when=("named as its module",),
        text='"{distribution}" is the name of a module. The package that provides it is called'
        ' "{package}".',
    ),
)
