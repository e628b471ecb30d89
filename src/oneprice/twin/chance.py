"""Seeded chance without state outside itself: streams of numbers and numbers by place.

`spot(...)` gives the same number for the same place whoever asks and whenever, which is what lets
two processes agree on a path without talking (splitmix64, Steele, Lea, Flood, OOPSLA 2014).
"""

from math import cos, log, pi, sqrt

_MASK = (1 << 64) - 1
_GOLDEN = 0x9E3779B97F4A7C15
_UNIT = 1.0 / (1 << 53)


def mix(value: int) -> int:
    """The splitmix64 finaliser: 64 well stirred bits."""
    value &= _MASK
    value = ((value ^ (value >> 30)) * 0xBF58476D1CE4E5B9) & _MASK
    value = ((value ^ (value >> 27)) * 0x94D049BB133111EB) & _MASK
    return value ^ (value >> 31)


def word_number(text: str) -> int:
    """A number for a name, the same in every process (FNV-1a)."""
    number = 0xCBF29CE484222325
    for byte in text.encode():
        number = ((number ^ byte) * 0x100000001B3) & _MASK
    return number


def place(*parts: int | str) -> int:
    """A seed for a place named by numbers and words."""
    state = 0
    for part in parts:
        number = word_number(part) if isinstance(part, str) else part
        state = mix(state + _GOLDEN + (number & _MASK))
    return state


def spot(*parts: int | str) -> float:
    """A uniform number in [0, 1) that belongs to this place."""
    return (place(*parts) >> 11) * _UNIT


class Chance:
    """A stream of numbers that depends on its seed alone."""

    __slots__ = ("_state",)

    def __init__(self, *seed: int | str) -> None:
        self._state = place(*seed)

    def uniform(self) -> float:
        """In [0, 1)."""
        self._state = (self._state + _GOLDEN) & _MASK
        return (mix(self._state) >> 11) * _UNIT

    def between(self, low: float, high: float) -> float:
        return low + (high - low) * self.uniform()

    def whole(self, low: int, high: int) -> int:
        """An integer, both ends included."""
        return low + int(self.uniform() * (high - low + 1))

    def gauss(self) -> float:
        """Standard normal (Box and Muller)."""
        radius = sqrt(-2.0 * log(1.0 - self.uniform()))
        return radius * cos(2.0 * pi * self.uniform())

    def hits(self, probability: float) -> bool:
        return probability > 0.0 and self.uniform() < probability
