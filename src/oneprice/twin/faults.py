"""Misfortune by plan and seed: lost, late, doubled frames, cut connections, missing answers.

Two ways to have faults: rates in a `FaultPlan`, drawn from a seeded stream, and `arm`, which makes
the next matching occasions fail for certain (drills and tests).
"""

import msgspec

from oneprice.model.units import MILLI, SECOND
from oneprice.twin.chance import Chance


class FaultPlan(msgspec.Struct, frozen=True, kw_only=True):
    """Chances per occasion in [0, 1], spans in ms or seconds; all zero means no faults."""

    frame_loss: float = 0.0  # a public data frame is swallowed: a gap
    frame_repeat: float = 0.0  # a public data frame comes twice
    frame_late: float = 0.0  # a public data frame, and all behind it on its socket, waits
    late_ms: int = 250
    cut_mean_s: float = 0.0  # mean life of a connection, 0: for ever
    silence_mean_s: float = 0.0  # mean time between silences of all public data: stale books
    silence_ms: int = 3000  # frames of that time are lost
    answer_lost: float = 0.0  # an order request is carried out, its answer never comes
    error_after: float = 0.0  # an order request is carried out and answered with a 5xx
    error_before: float = 0.0  # an order request is answered with a 5xx and not carried out
    answer_late: float = 0.0
    answer_late_ms: int = 1500


class FrameFate(msgspec.Struct, frozen=True, kw_only=True):
    lost: bool = False
    repeated: bool = False
    delay_ms: int = 0

    @property
    def copies_ms(self) -> tuple[int, ...]:
        """How late each copy that is sent comes: none of a lost frame, two of a repeated one."""
        if self.lost:
            return ()
        return (self.delay_ms, 0) if self.repeated else (self.delay_ms,)


class RequestFate(msgspec.Struct, frozen=True, kw_only=True):
    """`outcome`: normal, lost (done, no answer), error_after (done), error_before (not done)."""

    outcome: str = "normal"
    delay_ms: int = 0


KINDS = (
    "frame_loss",
    "frame_repeat",
    "frame_late",
    "cut",
    "silence",
    "answer_lost",
    "error_after",
    "error_before",
    "answer_late",
)

_NORMAL_FRAME = FrameFate()
_NORMAL_REQUEST = RequestFate()


class Faults:
    """Decides the fate of frames, requests and connections; the server carries it out."""

    def __init__(self, plan: FaultPlan | None = None, seed: int = 0) -> None:
        self.plan = plan or FaultPlan()
        self.counts: dict[str, int] = {}
        self._chance = Chance(seed, "faults")
        self._armed: list[tuple[str, str]] = []
        self._quiet = self.plan == FaultPlan()
        self._silent_until = 0
        self._beat_at = 0

    def arm(self, kind: str, count: int = 1, match: str = "") -> None:
        """Makes the next `count` occasions of `kind` fail whose channel contains `match`."""
        if kind not in KINDS:
            raise ValueError(f"fault kind {kind!r}: expected one of {', '.join(KINDS)}")
        self._armed.extend([(kind, match)] * count)

    def disarm(self) -> None:
        """Takes back what was armed and has not struck, and ends a silence."""
        self._armed.clear()
        self._silent_until = 0

    def frame(self, channel: str, at: int) -> FrameFate:
        """Of one public data frame, named by its topic or stream."""
        if self._quiet and not self._armed and at >= self._silent_until:
            return _NORMAL_FRAME
        plan = self.plan
        lost = self._strikes("frame_loss", plan.frame_loss, channel)
        return FrameFate(
            lost=lost or at < self._silent_until,
            repeated=self._strikes("frame_repeat", plan.frame_repeat, channel),
            delay_ms=plan.late_ms if self._strikes("frame_late", plan.frame_late, channel) else 0,
        )

    def request(self, path: str) -> RequestFate:
        """Of one order request, named by its path or operation."""
        if self._quiet and not self._armed:
            return _NORMAL_REQUEST
        plan = self.plan
        outcome = "normal"
        if self._strikes("error_before", plan.error_before, path):
            outcome = "error_before"
        elif self._strikes("answer_lost", plan.answer_lost, path):
            outcome = "lost"
        elif self._strikes("error_after", plan.error_after, path):
            outcome = "error_after"
        late = self._strikes("answer_late", plan.answer_late, path)
        return RequestFate(outcome=outcome, delay_ms=plan.answer_late_ms if late else 0)

    def cut(self, link: str, elapsed: int) -> bool:
        """Whether a connection that lived `elapsed` ns since the last question dies now."""
        return self._passes("cut", self.plan.cut_mean_s, elapsed, link)

    def beat(self, at: int) -> None:
        """Once per step: decides whether public data falls silent from now on."""
        elapsed = max(0, at - self._beat_at) if self._beat_at else 0
        self._beat_at = at
        if self._passes("silence", self.plan.silence_mean_s, elapsed, ""):
            self._silent_until = at + self.plan.silence_ms * MILLI

    def _passes(self, kind: str, mean_s: float, elapsed: int, channel: str) -> bool:
        if self._quiet and not self._armed:
            return False
        chance = elapsed / (mean_s * SECOND) if mean_s > 0 else 0.0
        return self._strikes(kind, min(1.0, chance), channel)

    def _strikes(self, kind: str, probability: float, channel: str) -> bool:
        struck = self._chance.hits(probability)
        for index, (armed, match) in enumerate(self._armed):
            if armed == kind and match in channel:
                del self._armed[index]
                struck = True
                break
        if struck:
            self.counts[kind] = self.counts.get(kind, 0) + 1
        return struck
