"""The wire side of the BitMEX twin."""

from oneprice.twin.contract import Clock, Exchange
from oneprice.twin.dialects.bitmex.surface import BitmexSurface
from oneprice.twin.faults import Faults


def make(exchange: Exchange, clock: Clock, faults: Faults) -> BitmexSurface:
    """The surface of one twin with the limits of an ordinary account."""
    return BitmexSurface(exchange, clock, faults)
