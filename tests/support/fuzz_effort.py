"""How much is tried: a little, always the same, in CI; as long as FUZZ_SECONDS says in `make fuzz`.

A long search runs in rounds, each from a seed of its own that a failure names: FUZZ_SEED begins
with that one. It goes on after a finding, and fails at its end with all of them.
"""

import os
import time
import traceback
from collections import Counter
from collections.abc import Callable
from typing import Any

import hypothesis
from hypothesis import HealthCheck, Phase
from hypothesis.stateful import RuleBasedStateMachine, run_state_machine_as_test
from hypothesis.strategies import SearchStrategy

TOTAL_SECONDS = float(os.environ.get("FUZZ_SECONDS", "0"))
"""For all searches together; 0 for the short, deterministic form."""
FIRST_SEED = int(os.environ.get("FUZZ_SEED", time.time_ns() % 1_000_000))
SEARCHES = 6
"""Among which the time is divided."""
MOST_FINDINGS = 5
"""After so many a search ends: they are likely to be one and the same."""


class Search:
    """One search, and the figures of what it tried."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.figures: Counter[str] = Counter()
        self._begun = time.monotonic()
        self._findings: list[Exception] = []

    @property
    def seconds(self) -> float:
        """What this search has of the time."""
        return TOTAL_SECONDS / SEARCHES

    @property
    def is_long(self) -> bool:
        return self.seconds > 0

    def count(self, what: str, number: int = 1) -> None:
        """Note something for the figures."""
        self.figures[what] += number

    def examples(
        self, check: Callable[..., None], *, short: int, **strategies: SearchStrategy[Any]
    ) -> None:
        """Call `check` with what the strategies make: `short` times, or rounds of a hundred."""

        def with_seed(seed: int | None) -> Callable[[hypothesis.settings], None]:
            test = hypothesis.given(**strategies)(check)
            if seed is not None:
                test = hypothesis.seed(seed)(test)
            return lambda settings: settings(test)()

        self._search(with_seed, short=short, long=100, steps=1)

    def machine(self, machine: type[RuleBasedStateMachine], *, short: int, steps: int) -> None:
        """Run a state machine: `short` sequences of `steps`, or rounds of three longer ones."""

        def with_seed(seed: int | None) -> Callable[[hypothesis.settings], None]:
            if seed is not None:
                hypothesis.seed(seed)(machine)
            return lambda settings: run_state_machine_as_test(machine, settings=settings)

        self._search(with_seed, short=short, long=3, steps=steps)

    def _search(
        self,
        prepare: Callable[[int | None], Callable[[hypothesis.settings], None]],
        *,
        short: int,
        long: int,
        steps: int,
    ) -> None:
        if not self.is_long:
            prepare(None)(_settings(short, steps, derandomize=True))
            return
        seed = FIRST_SEED
        while self.has_time:
            try:
                prepare(seed)(_settings(long, 2 * steps))
            except Exception as error:
                error.add_note(f"{self.name}: found in the round FUZZ_SEED={seed}")
                self.found(error)
            self.count("rounds")
            seed += 1
        self.tell()

    @property
    def has_time(self) -> bool:
        """Whether a long search should go on."""
        is_over = time.monotonic() - self._begun > self.seconds
        return not is_over and len(self._findings) < MOST_FINDINGS

    def found(self, error: Exception) -> None:
        """Tell a finding at once, and keep it for the end."""
        self._findings.append(error)
        traceback.print_exception(error)

    def tell(self) -> None:
        """Print the figures of a long search; raises what was found."""
        spent = time.monotonic() - self._begun
        figures = ", ".join(f"{number} {what}" for what, number in sorted(self.figures.items()))
        print(f"\n{self.name}: {figures}, {len(self._findings)} findings in {spent:.0f} s")  # noqa: T201
        if self._findings:
            raise ExceptionGroup(f"{self.name} found", self._findings)


def _settings(examples: int, steps: int, *, derandomize: bool = False) -> hypothesis.settings:
    return hypothesis.settings(
        max_examples=examples,
        stateful_step_count=steps,
        derandomize=derandomize,
        # nothing is kept on the disk, and nothing that was found before is tried first
        database=None,
        # each example asks a real service
        deadline=None,
        suppress_health_check=list(HealthCheck),
        # making an example smaller takes minutes, which a long search has
        phases=[Phase.generate] if derandomize else [Phase.generate, Phase.shrink],
        print_blob=False,
    )
