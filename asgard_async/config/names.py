"""Unknown names in a configuration, with the nearest known ones."""

from difflib import get_close_matches

from asgard_async.config.renames import current_name
from asgard_async.config.sections import SECTIONS, field_types


def problem_of_name(source: str, section: str, key: str | None) -> str | None:
    """Return what is wrong with the name of a section or a key; None if it exists."""
    name = current_name(section)
    if name not in SECTIONS:
        return (
            f"{source}: unknown section [{section}]{_did_you_mean(_like_section(section, key))}"
            f" allowed: {', '.join(f'[{one}]' for one in SECTIONS)}"
        )
    if key is None or key in field_types(name):
        return None
    return (
        f"{source}: unknown key {key!r} in [{section}]{_did_you_mean(_like_key(name, key))}"
        f" allowed: {', '.join(field_types(name))}"
    )


def _like_section(section: str, key: str | None) -> str:
    if near := get_close_matches(section, SECTIONS, n=1):
        return f"[{near[0]}]"
    return _sections_with(key)


def _like_key(section: str, key: str) -> str:
    """Return the same key of other sections, else the nearest key of this one or of others."""
    if homes := _sections_with(key):
        return f"{key!r} in {homes}"
    near = get_close_matches(key, field_types(section), n=1)
    near += [name for name in field_types(section) if name.startswith(key)] if key else []
    if near:
        return repr(near[0])
    names = [name for one in SECTIONS for name in field_types(one)]
    if near := get_close_matches(key, names, n=1, cutoff=0.8):
        return f"{near[0]!r} in {_sections_with(near[0])}"
    return ""


def _sections_with(key: str | None) -> str:
    return " or ".join(f"[{name}]" for name in SECTIONS if key in field_types(name))


def _did_you_mean(name: str) -> str:
    return f"; did you mean {name}?" if name else ";"
