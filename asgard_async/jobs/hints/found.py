"""The facts about a failed job, by name, and the values that hints quote."""

from dataclasses import dataclass, field


@dataclass(frozen=True, kw_only=True)
class Facts:
    """Facts by name, and values for the texts of hints."""

    names: set[str] = field(default_factory=set)
    values: dict[str, str] = field(default_factory=dict)
