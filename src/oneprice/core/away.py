"""Venues that a restart has not reached yet, and what must wait for them."""

from collections.abc import Iterable

from oneprice.core.legs import State
from oneprice.core.repairs import Group
from oneprice.model.units import InstrumentId


class Away:
    """Nothing is asked of these venues, and nothing is given up because they do not answer."""

    def __init__(self) -> None:
        self._venues: dict[str, None] = {}

    def __bool__(self) -> bool:
        return bool(self._venues)

    def set(self, venues: Iterable[str]) -> None:
        self._venues = dict.fromkeys(venues)

    def names(self) -> list[str]:
        return list(self._venues)

    def has(self, instrument: InstrumentId) -> bool:
        return bool(self._venues) and instrument.partition(":")[0] in self._venues

    def concerns(self, group: Group) -> bool:
        """Whether a leg of a group is there."""
        return any(self.has(leg.instrument) for leg in group.intent.legs)

    def keeps(self, group: Group) -> bool:
        """Whether a group cannot come to its end before such a venue is back."""
        if group.paused:
            return self.concerns(group)
        unknown = [order for order in group.orders if not order.settled]
        return group.state is State.PULLING and any(self.has(o.instrument) for o in unknown)
