"""Random number generators seeded during imports, reseeded so that no two jobs share a state.

The functions of `random`, and everything that asks the kernel, already reseed after a fork.
"""

import gc
import random
import sys
from typing import Any

SEEDED_AT_RANDOM = 1 << 64
"""numpy draws 128 bits of entropy; a seed that somebody chose is smaller."""


class Generators:
    """The generators to be reseeded in each job."""

    def __init__(self) -> None:
        self._of_python: dict[int, random.Random] = {}
        self._of_numpy: list[Any] = []

    def watch(self) -> Any:
        """Record generators until the returned function is called."""
        kind: Any = random.Random
        seed = kind.seed
        unseeded = self._of_python

        def recording_seed(self: random.Random, a: Any = None, *version: Any, **named: Any) -> None:
            seed(self, a, *version, **named)
            if a is None:
                unseeded[id(self)] = self
            else:
                unseeded.pop(id(self), None)

        kind.seed = recording_seed

        def stop() -> None:
            kind.seed = seed
            self._of_numpy = _unseeded_of_numpy()

        return stop

    def reseed(self) -> None:
        """Give all generators a new state; called in each job."""
        for generator in self._of_python.values():
            generator.seed()
        for bit_generator in self._of_numpy:
            bit_generator.state = type(bit_generator)().state


def _unseeded_of_numpy() -> "list[Any]":
    """numpy's bit generators that nobody seeded with a number."""
    if (module := sys.modules.get("numpy.random")) is None:
        return []
    generators = {id(module.mtrand._rand._bit_generator): module.mtrand._rand._bit_generator}
    for thing in gc.get_objects():
        # by type: some objects import modules when any attribute is read
        if issubclass(type(thing), module.Generator | module.RandomState):
            generators[id(thing._bit_generator)] = thing._bit_generator
    return [generator for generator in generators.values() if _is_seeded_at_random(generator)]


def _is_seeded_at_random(generator: Any) -> bool:
    # there is none if it was seeded with a number, the old way
    entropy = getattr(generator._seed_seq, "entropy", None)
    return isinstance(entropy, int) and entropy >= SEEDED_AT_RANDOM
