import sys

try:
    from mlflow.utils import requirements_utils as known
except ImportError:  # on a Python without MLflow
    sys.exit()

known._init_packages_to_modules_map()
print(len(known._PACKAGES_TO_MODULES), type(known._MODULES_TO_PACKAGES))
print(*sorted((name, sorted(set(found))) for name, found in known._MODULES_TO_PACKAGES.items()))
