"""Notebooks made of cells, as JSON."""

import json
from typing import Any


def code(source: str, *tags: str) -> dict[str, Any]:
    """A code cell that has not been run."""
    return {
        "cell_type": "code",
        "execution_count": None,
        "metadata": {"tags": list(tags)} if tags else {},
        "outputs": [],
        "source": source.splitlines(keepends=True),
    }


def text(source: str) -> dict[str, Any]:
    return {"cell_type": "markdown", "metadata": {}, "source": [source]}


def notebook(*cells: dict[str, Any] | str, language: str = "python") -> bytes:
    """A notebook; a text is a code cell."""
    document = {
        "cells": [code(cell) if isinstance(cell, str) else cell for cell in cells],
        "metadata": {
            "kernelspec": {"display_name": "x", "language": language, "name": "an-own-kernel"}
        },
        "nbformat": 4,
        "nbformat_minor": 4,
    }
    return json.dumps(document, indent=1).encode()
