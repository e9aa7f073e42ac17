"""Reseeding of random number generators that imports have seeded, so that jobs share no state.

The functions of `random` already reseed after a fork, and the kernel's generator needs no seed.
"""

import gc
import random
import sys
from typing import Any

SEEDED_AT_RANDOM = 1 << 64
"""Random seeds of numpy have 128 bits; seeds chosen by people are smaller than this."""


class Generators:
    """The generators to reseed in each job."""

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
        """Give all generators a new state; call this in each job."""
        for generator in self._of_python.values():
            generator.seed()
        for bit_generator in self._of_numpy:
            bit_generator.state = type(bit_generator)().state


def _unseeded_of_numpy() -> "list[Any]":
    """Return numpy's bit generators that were not seeded with a chosen number."""
    if (module := sys.modules.get("numpy.random")) is None:
        return []
    generators = {id(module.mtrand._rand._bit_generator): module.mtrand._rand._bit_generator}
    for instance in gc.get_objects():
        # by type: some objects import modules when any attribute is read
        if issubclass(type(instance), module.Generator | module.RandomState):
            generators[id(instance._bit_generator)] = instance._bit_generator
    return [generator for generator in generators.values() if _is_seeded_at_random(generator)]


def _is_seeded_at_random(generator: Any) -> bool:
    # legacy seeding with a number leaves no entropy attribute
    entropy = getattr(generator._seed_seq, "entropy", None)
    return isinstance(entropy, int) and entropy >= SEEDED_AT_RANDOM
