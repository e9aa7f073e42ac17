"""The effort of fuzz tests: short and deterministic in CI, FUZZ_SECONDS long in `make fuzz`.

A long search runs in rounds, each with its own seed, which a failure names: FUZZ_SEED starts with
that seed. The search continues after a failure and reports all failures at its end.
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
"""Total for all searches; 0 selects the short, deterministic form."""
FIRST_SEED = int(os.environ.get("FUZZ_SEED", time.time_ns() % 1_000_000))
SEARCHES = 6
"""The number of searches that share the time."""
MOST_FINDINGS = 5
"""A search stops after this many failures: they are probably the same one."""


class Search:
    """One search and its counters."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.figures: Counter[str] = Counter()
        self._begun = time.monotonic()
        self._findings: list[Exception] = []

    @property
    def seconds(self) -> float:
        """The time limit of this search."""
        return TOTAL_SECONDS / SEARCHES

    @property
    def is_long(self) -> bool:
        return self.seconds > 0

    def count(self, what: str, number: int = 1) -> None:
        """Add to a counter."""
        self.figures[what] += number

    def examples(
        self, check: Callable[..., None], *, short: int, **strategies: SearchStrategy[Any]
    ) -> None:
        """Call `check` with generated arguments: `short` times, or in rounds of a hundred."""

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
        self.report()

    @property
    def has_time(self) -> bool:
        """True if a long search should continue."""
        is_over = time.monotonic() - self._begun > self.seconds
        return not is_over and len(self._findings) < MOST_FINDINGS

    def found(self, error: Exception) -> None:
        """Print a failure at once, and keep it for the end."""
        self._findings.append(error)
        traceback.print_exception(error)

    def report(self) -> None:
        """Print the counters of a long search; raise its failures."""
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
        # store nothing on disk, and do not replay earlier failures
        database=None,
        # each example calls a real service
        deadline=None,
        suppress_health_check=list(HealthCheck),
        # shrinking takes minutes, which only a long search has
        phases=[Phase.generate] if derandomize else [Phase.generate, Phase.shrink],
        print_blob=False,
    )
