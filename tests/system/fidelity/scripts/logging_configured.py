import logging

import mlflow

print(logging.getLogger().handlers, logging.getLogger().level, logging.lastResort)
for name in ("mlflow", "alembic", "urllib3", "matplotlib"):
    logger = logging.getLogger(name)
    print(name, logger.level, logger.handlers, logger.propagate)
logging.warning("to the last resort")
logging.getLogger("mine").error("and through a logger")
mlflow_logger = logging.getLogger("mlflow")
record = mlflow_logger.makeRecord("mlflow", 20, "f", 1, "m", (), None)
print(record.relativeCreated < 60_000, record.processName, record.threadName)
