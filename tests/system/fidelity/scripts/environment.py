import os
import site
import subprocess
import tempfile

# what preloaded modules set when they are imported is there from the start
SET_BY_IMPORTS = {"KMP_DUPLICATE_LIB_OK", "KMP_INIT_AT_FORK", "_MLFLOW_TELEMETRY_SESSION_ID"}
SET_BY_SHELL = {"_", "SHLVL", "PWD"}
shown = subprocess.run(["sh", "-c", "env"], check=True, capture_output=True, text=True).stdout
seen = dict(line.split("=", 1) for line in shown.splitlines())
for variables in (os.environ, seen):
    names = sorted(set(variables) - SET_BY_IMPORTS - SET_BY_SHELL)
    print({name: variables[name] for name in names})
print(tempfile.gettempdir(), os.path.expanduser("~"), os.getenv("NOTHING"))
print(site.getuserbase(), site.getusersitepackages(), site.ENABLE_USER_SITE)
with tempfile.TemporaryDirectory() as folder:
    print(os.path.dirname(folder))
