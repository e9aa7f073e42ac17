"""Required names of every submission, with arbitrary values."""

from typing import TypedDict


class Names(TypedDict):
    experiment_name: str
    model_name: str


NAMES: Names = {"experiment_name": "e", "model_name": "m"}
