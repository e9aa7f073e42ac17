"""Names on the command line."""

import argparse
from collections.abc import Callable, Collection


def names_among(known: Collection[str], kind: str) -> Callable[[str], set[str]]:
    """Return a parser of names, separated by commas or spaces, that rejects unknown ones."""

    def parse(text: str) -> set[str]:
        names = set(text.replace(",", " ").split())
        if unknown := names - set(known):
            raise argparse.ArgumentTypeError(
                f"unknown {kind}: {', '.join(sorted(unknown))}; choose from {', '.join(known)}"
            )
        return names

    return parse
