"""Decimal text to whole ticks or lots, exactly."""

from __future__ import annotations

import functools
import re
from decimal import Decimal

from oneprice.kernel.contract import DIGITS_MAX, BadLevels, OffGrid, grid_of

_NUMBER = re.compile(r"(0|[1-9][0-9]*)(?:\.([0-9]+))?").fullmatch
_SEEN_MAX = 1 << 16


class Grid:
    """The multiples of one unit; a text once counted stays in `seen` for a while."""

    __slots__ = ("count_max", "count_min", "decimals", "multiple", "seen", "unit", "what")

    def __init__(self, unit: str | Decimal, what: str, count_min: int, count_max: int) -> None:
        self.decimals, self.multiple = grid_of(unit, what)
        self.unit = Decimal(unit)
        self.what = what
        self.count_min = count_min
        self.count_max = count_max
        self.seen: dict[str, int] = {}

    def count(self, text: object) -> int:
        """How many units `text` is; BadLevels when it is no number, OffGrid when not whole."""
        if isinstance(text, str) and text in self.seen:
            return self.seen[text]
        found = _NUMBER(text) if isinstance(text, str) else None
        if found is None or not isinstance(text, str):
            raise BadLevels(f"{self.what}: expected a decimal number, found {text!r:.40}")
        whole, fraction = found.groups("")
        decimals = self.decimals
        if (0 if whole == "0" else len(whole)) + decimals > DIGITS_MAX:
            raise BadLevels(f"{self.what}: {text[:40]} is too large")
        if fraction[decimals:].strip("0"):
            raise OffGrid(f"off grid: {self.what} {text[:40]} is no multiple of {self.unit}")
        scaled = int(whole + fraction[:decimals].ljust(decimals, "0"))
        if self.multiple != 1:
            scaled, rest = divmod(scaled, self.multiple)
            if rest:
                raise OffGrid(f"off grid: {self.what} {text[:40]} is no multiple of {self.unit}")
        if not self.count_min <= scaled <= self.count_max:
            raise BadLevels(f"{self.what}: {text[:40]} is out of range")
        if len(self.seen) >= _SEEN_MAX:
            self.seen.clear()
        self.seen[text] = scaled
        return scaled


@functools.lru_cache(maxsize=4096)
def grid(unit: str | Decimal, what: str, count_min: int, count_max: int) -> Grid:
    """One Grid for all books of a unit: they share what was read."""
    return Grid(unit, what, count_min, count_max)
