"""Profit by UTC day: what each day's two ends differ by, so that days add up to the total.

At its first look on a new day the ledger keeps what every cause had gathered, amount by amount,
and the rates of that moment. A day's profit by cause is the value at its end less the value at
its beginning. What was gathered earlier and still moves (lots of a holding that spans midnight,
fees paid in a coin) is so repriced under its own cause on the day on which its price moved, and
the opening balances under `currency`: the sum over days is the total of each cause, exactly.
"""

from collections.abc import Mapping
from decimal import Context, Inexact, InvalidOperation

from oneprice.model.units import ZERO, Money

NEVER = -1
# Products of balances and rates, exact for reports: nothing may be rounded away in a sum.
WIDE = Context(prec=200, traps=[InvalidOperation, Inexact])


class Days:
    """The closed days, and where today began. Days are counted since 1970."""

    def __init__(self) -> None:
        self.today = NEVER
        self.begun: Mapping[str, Money] = {}  # what the causes were worth when today began
        self._closed: dict[int, dict[str, Money]] = {}

    def turn(self, day: int, worth: Mapping[str, Money]) -> None:
        """A new day, and the worth of every cause at this moment. The first began with nothing."""
        if self.today != NEVER:
            self._closed[self.today] = difference(worth, self.begun)
            self.begun = worth
        self.today = day

    def profit(self, day: int, worth: Mapping[str, Money]) -> dict[str, Money]:
        """Of a day, where today stands at `worth`; zeros for a day of which nothing is known."""
        if day == self.today:
            return difference(worth, self.begun)
        return self._closed.get(day) or dict.fromkeys(worth, ZERO)

    def all(self, worth: Mapping[str, Money]) -> dict[int, dict[str, Money]]:
        found = dict(self._closed)
        if self.today != NEVER:
            found[self.today] = difference(worth, self.begun)
        return found


def difference(after: Mapping[str, Money], before: Mapping[str, Money]) -> dict[str, Money]:
    return {cause: WIDE.subtract(money, before.get(cause, ZERO)) for cause, money in after.items()}
