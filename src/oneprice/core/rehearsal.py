"""Rehearsal: the path of a decision walked without deciding, so that a real one finds it warm.

A decision after a quiet spell costs twice as much as one after another: code and data have left
the processor's caches. A loop that never sleeps has time to keep them there.
"""

from collections.abc import Iterator, Sequence
from itertools import chain

from oneprice.core.gate import Gate
from oneprice.core.sight import Sight
from oneprice.core.strategy import Intent, Passed, Strategy


class Rehearsal:
    """One look and one round of the gate's rules at each step; changes nothing and counts nothing.

    `intent` is the last one that was approved: its rules are asked again.
    """

    def __init__(self, strategies: Sequence[Strategy], sight: Sight, gate: Gate) -> None:
        self.intent: Intent | None = None
        self._strategies = strategies
        self._sight = sight
        self._gate = gate
        self._looks: Iterator[Passed] = iter(())

    def step(self) -> None:
        """At most one look, however many pairs there are."""
        if next(self._looks, None) is None:
            self._looks = chain.from_iterable(s.survey(self._sight) for s in self._strategies)
        if self.intent is not None:
            self._gate.rehearse(self.intent, self._sight)
