"""The wire side of the Bybit v5 twin."""

from oneprice.twin.contract import Clock, Exchange
from oneprice.twin.dialects.bybit.surface import BybitSurface
from oneprice.twin.faults import Faults


def make(exchange: Exchange, clock: Clock, faults: Faults) -> BybitSurface:
    """The surface of one twin with the limits of an account without VIP level."""
    return BybitSurface(exchange, clock, faults)
