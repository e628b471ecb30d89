"""The wire side of the OKX v5 twin."""

from oneprice.twin.contract import Clock, Exchange
from oneprice.twin.dialects.okx.surface import OkxSurface
from oneprice.twin.faults import Faults


def make(exchange: Exchange, clock: Clock, faults: Faults) -> OkxSurface:
    """The surface of one twin with the limits of an account without VIP level."""
    return OkxSurface(exchange, clock, faults)
