"""The check of the configuration."""

from asgard_async.cli.checks.finding import Finding, Level
from asgard_async.config import Config
from asgard_async.config.data_directory import DataDirectory


async def configuration(config: Config, data: DataDirectory) -> Finding:
    """Check for settings that still use a former name."""
    about = "configuration"
    if config.warnings:
        return Finding(about, Level.WARN, " ".join(config.warnings), "asgard config check")
    return Finding(about, Level.OK, "valid")
