"""Generators that were seeded by chance while something was imported: two jobs share no entropy.

The functions of `random`, and what else asks the kernel, see to themselves after a fork.
"""

import gc
import random
import sys
from typing import Any

SEEDED_AT_RANDOM = 1 << 64
"""The entropy that numpy draws is of 128 bits; a seed that somebody chose is smaller."""


class Generators:
    """Those that are to be seeded anew in each job."""

    def __init__(self) -> None:
        self._of_python: dict[int, random.Random] = {}
        self._of_numpy: list[Any] = []

    def watch(self) -> Any:
        """Note them, until what is returned is called."""
        kind: Any = random.Random
        seed = kind.seed
        unseeded = self._of_python

        def noted(self: random.Random, a: Any = None, *version: Any, **named: Any) -> None:
            seed(self, a, *version, **named)
            if a is None:
                unseeded[id(self)] = self
            else:
                unseeded.pop(id(self), None)

        kind.seed = noted

        def stop() -> None:
            kind.seed = seed
            self._of_numpy = _unseeded_of_numpy()

        return stop

    def seed_anew(self) -> None:
        """In a job: let them draw what no other job draws."""
        for one in self._of_python.values():
            one.seed()
        for generator in self._of_numpy:
            generator.state = type(generator)().state


def _unseeded_of_numpy() -> "list[Any]":
    """Its bit generators."""
    if (module := sys.modules.get("numpy.random")) is None:
        return []
    generators = {id(module.mtrand._rand._bit_generator): module.mtrand._rand._bit_generator}
    for one in gc.get_objects():
        # by type: some import when they are asked for anything
        if issubclass(type(one), module.Generator | module.RandomState):
            generators[id(one._bit_generator)] = one._bit_generator
    return [generator for generator in generators.values() if _is_seeded_at_random(generator)]


def _is_seeded_at_random(generator: Any) -> bool:
    # none when it was seeded the old way, with a number
    entropy = getattr(generator._seed_seq, "entropy", None)
    return isinstance(entropy, int) and entropy >= SEEDED_AT_RANDOM
