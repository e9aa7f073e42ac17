"""Quoting of text that a script printed."""

LONGEST_QUOTE = 200
HARMLESS = frozenset(" _-./+@~:=,<>[]")


def shown(text: str) -> str:
    """Return text from a message as hints may quote it: short, with harmless characters only."""
    return "".join(
        character if character.isalnum() or character in HARMLESS else "?"
        for character in text[:LONGEST_QUOTE]
    )
