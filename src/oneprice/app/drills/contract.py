"""What a drill is, and what is kept of one that was run."""

from collections.abc import Awaitable, Callable, Mapping
from typing import Any

import msgspec


class NotHere(Exception):
    """A drill that these venues, or this machine, have no means for; says which and why."""


class NotSeen(Exception):
    """What was waited for and did not come."""


class NotStaged(Exception):
    """This time the situation that a drill is about did not come about; says what was missing."""


class Check(msgspec.Struct, frozen=True, kw_only=True):
    """One sentence that must hold, and what was seen of it."""

    must: str
    seen: str
    held: bool


class Result(msgspec.Struct, frozen=True, kw_only=True):
    """One drill that was run. `outcome` is skipped where there was no means to run it."""

    name: str
    title: str
    venues: tuple[str, ...]
    outcome: str  # pass, fail, skipped
    did: list[str]
    checks: list[Check]
    trouble: str  # what was waited for in vain, what broke, or why it was skipped
    unhedged_ms: float  # the longest, by the venues' own record of fills
    recovery_ms: float | None  # from the end of the misfortune to where all is well
    seconds: float

    @property
    def failed(self) -> bool:
        return self.outcome == "fail"


class Drill(msgspec.Struct, frozen=True, kw_only=True):
    """A misfortune by name: what `act` does to a stage, and the sentences it must look at."""

    name: str
    title: str
    must: Mapping[str, str]  # a word for `Stage.saw` -> the sentence
    act: Callable[[Any], Awaitable[None]]  # of a stage.Stage
    funding_interval_ms: int = 0  # of every perpetual there, 0: each one's own
