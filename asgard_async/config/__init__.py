"""Configuration: read in layers, validated once, and frozen.

The packaged `config.toml` holds and documents every default.
"""

from asgard_async.config.layers import load_config
from asgard_async.config.redacted import redacted
from asgard_async.config.sections import (
    LARGEST,
    SECTIONS,
    Config,
    ConfigError,
    EnvironmentsConfig,
    HttpConfig,
    IsolationConfig,
    JobsConfig,
    LimitsConfig,
    LoggingConfig,
    MlflowConfig,
    RetentionConfig,
    WarmConfig,
)

__all__ = [
    "LARGEST",
    "SECTIONS",
    "Config",
    "ConfigError",
    "EnvironmentsConfig",
    "HttpConfig",
    "IsolationConfig",
    "JobsConfig",
    "LimitsConfig",
    "LoggingConfig",
    "MlflowConfig",
    "RetentionConfig",
    "WarmConfig",
    "load_config",
    "redacted",
]
