"""Attempts to mend a leg group: which of them count, and where there is no use in trying.

An order that never left us, or that a venue's door turned away, was no attempt: it cost nothing
and says nothing of the market. Such waiting is bounded by time instead. Where one venue lets
nothing in, what can be done at the other is done there at once.
"""

from collections.abc import Mapping, Sequence

from oneprice.core.legs import Action
from oneprice.core.market import Market
from oneprice.core.orders import Order
from oneprice.core.repairs import Group, Repair
from oneprice.core.strategy import Alarmed, GroupMoved, IntentLeg
from oneprice.model.instrument import Instrument
from oneprice.model.settings import LegSettings
from oneprice.model.units import MILLI, InstrumentId

BANNED = "banned"
# Why an order did not reach the book of its venue although nothing is wrong with it: an allowance
# was used up, the venue keeps us out, or it was taken back before its way was open.
KEPT_BACK = ("rate_limited", BANNED, "not_sent")


def kept_back(orders: Sequence[Order]) -> bool:
    """Whether none of them ever left; False where there are none."""
    return bool(orders) and all(
        order.settled and not order.filled and order.reason in KEPT_BACK for order in orders
    )


def first_legs(legs: Sequence[IntentLeg], doubted: Mapping[str, object]) -> Sequence[IntentLeg]:
    """Whom to ask first: venues that refused for rate and took nothing since, alone. Where they
    still let nothing in nothing has happened; else the other leg is missing, and follows."""
    return [leg for leg in legs if leg.instrument.partition(":")[0] in doubted] or legs


def count(group: Group, action: Action) -> None:
    """A next attempt begins, or something that is none. What the last one met is known until an
    order of the next one leaves."""
    group.attempt = []
    group.chases += action is Action.SEND_MISSING
    group.unwinds += action is Action.SEND_BACK
    if action is not Action.PULL:  # which ends the present one, and begins none
        group.counted = action


class Attempts:
    """Judges what was tried; changes the counts of a group and nothing else."""

    def __init__(
        self, settings: LegSettings, market: Market, resized: Mapping[InstrumentId, Instrument]
    ) -> None:
        self._settings = settings
        self._market = market
        self._resized = resized

    def settled(self, group: Group, order: Order) -> None:
        """An order of a group has ended: where with it the whole attempt never left, that was
        none. For so long, and not for ever."""
        if not any(o is order for o in group.tried) or not kept_back(group.tried):
            return
        group.kept_since = group.kept_since or self._market.now
        if self._lasts(group) < self._most():
            group.chases -= group.counted is Action.SEND_MISSING
            group.unwinds -= group.counted is Action.SEND_BACK
        group.counted = Action.NOTHING

    def _lasts(self, group: Group) -> int:
        """For how long a group has been kept from trying, nanoseconds; 0: it is not."""
        return self._market.now - group.kept_since if group.kept_since else 0

    def waits(self, group: Group) -> bool:
        """Whether the present attempt never left, and the next may wait a while as well."""
        return kept_back(group.attempt) and self._lasts(group) < self._most()

    def may_chase(self, group: Group, repairs: Sequence[Repair]) -> bool:
        """Whether to go forward is worth another try: what can still be given back elsewhere
        does not wait for a venue that is shut, nor for one whose allowance comes too late."""
        forward = [r for r in repairs if not r.back]
        if not any(r.back and not self._is_shut(group, r) for r in repairs):
            return bool(forward) and not self._is_late(group)
        return any(not self._is_shut(group, r) for r in forward) and not self._is_late(group)

    def _is_late(self, group: Group) -> bool:
        """Whether one more wait would be noticed."""
        most = (self._settings.unhedged_alarm_ms - self._settings.wait_ms) * MILLI
        return kept_back(group.tried[-1:]) and self._lasts(group) >= most

    def of(self, group: Group, repairs: Sequence[Repair], *, back: bool) -> Sequence[Repair]:
        """The repairs to try now. Giving back may leave less than a lot of the one leg that only
        the other can mend; and where nothing can be given back because the venue was shut a
        moment ago, completing at the other one is the shorter way to equal legs."""
        wanted = [r for r in repairs if r.back is back]
        if not back:
            return wanted
        completing = self._settings.half_filled == "complete" and not group.forced
        if wanted and completing and all(self._is_shut(group, r) for r in wanted):
            return [r for r in repairs if not self._is_shut(group, r)] or wanted
        return wanted or repairs

    def waits_for_size(self, group: Group, told: list[GroupMoved | Alarmed]) -> bool:
        """Whether a group may wait until sizes mean the same again to its venues and to us: an
        order of ours would not say there what we mean. The alarm of it is added to `told`."""
        names = [leg.instrument for leg in group.intent.legs if leg.instrument in self._resized]
        if not names:
            return False
        if not group.resized_since:
            group.resized_since = self._market.now
            text = f"nothing can be mended in {', '.join(names)}: its sizes are counted anew"
            at = self._market.now
            told.append(Alarmed(at=at, kind="size", subject=group.id, text=text))
        return self._market.now - group.resized_since < self._most()

    def _most(self) -> int:
        """How long a group may wait for a venue before its attempts count all the same."""
        return self._settings.waits_max * self._settings.wait_ms * MILLI

    def _is_shut(self, group: Group, repair: Repair) -> bool:
        """By what the last attempt met there."""
        if repair.leg.instrument in self._resized:
            return True
        venue = repair.leg.instrument.partition(":")[0] + ":"
        return any(o.reason == BANNED and o.instrument.startswith(venue) for o in group.tried)
