"""What did not hold: collected with its moment, counted with everything that did."""

from collections.abc import Callable

import msgspec

SHOWN = 40  # of one world, kept
TEXT_MAX = 1_000


class Violation(msgspec.Struct, frozen=True):
    """A rule that did not hold, and when: virtual seconds."""

    rule: str
    at_s: float
    text: str


class Findings:
    """How often every rule was checked, and where it did not hold."""

    def __init__(self, seconds: Callable[[], float]) -> None:
        self.violations: list[Violation] = []
        self.checks: dict[str, int] = {}
        self._seconds = seconds

    def hold(self, rule: str, good: bool, text: str = "") -> None:
        """One check of a rule; `text` says what was found where it does not hold."""
        self.checks[rule] = self.checks.get(rule, 0) + 1
        if not good:
            self.fail(rule, text)

    def counted(self, rule: str, times: int) -> None:
        """Checks that were made elsewhere."""
        self.checks[rule] = self.checks.get(rule, 0) + times

    def fail(self, rule: str, text: str) -> None:
        if len(self.violations) < SHOWN:
            self.violations.append(Violation(rule, round(self._seconds(), 3), text[:TEXT_MAX]))
