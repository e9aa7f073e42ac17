import sys
from pathlib import Path

try:
    from mlflow.utils import requirements_utils as known
except ImportError:  # on a Python without MLflow
    sys.exit()

# as `pip install --target packages thing` leaves them
Path("packages/thing-1.0.dist-info").mkdir(parents=True)
Path("packages/thing.py").write_text("")
Path("packages/thing-1.0.dist-info/METADATA").write_text("Name: thing\nVersion: 1.0\n")
Path("packages/thing-1.0.dist-info/RECORD").write_text("thing.py,,\n")
sys.path.append("packages")
known._init_packages_to_modules_map()
print(known._PACKAGES_TO_MODULES["thing"], known._MODULES_TO_PACKAGES["thing"])
print(type(known._MODULES_TO_PACKAGES), len(known._MODULES_TO_PACKAGES))
