"""Plausible: whether the fee that a venue tells of a fill can be true.

What cannot be true is named and not booked: a venue that lies must not bend the books, nor stop
them by numbers that exact arithmetic cannot hold. The fill itself counts, for the position is
real; its fee is corrected when it is told again.
"""

from decimal import Decimal

from oneprice.core.market import Market
from oneprice.model.events import OrderFilled
from oneprice.model.units import BPS, Money

# Sums of balances (up to 1e16 coins) and fees must stay within the 34 digits of EXACT.
DECIMALS_MAX = 18


class Plausible:
    """Knows instruments and rates; asked about every fill before its fee counts."""

    def __init__(self, market: Market, fee_bps_max: Decimal) -> None:
        self._market = market
        self._fee_max = fee_bps_max * BPS  # of notional

    def fee_lie(self, fill: OrderFilled) -> str:
        """Why the fee of a fill cannot be true, or ""."""
        if not fill.fee:
            return ""
        if not fill.fee.is_finite() or not fill.fee_asset:
            return f"a fee of {_short(fill.fee)} {fill.fee_asset or 'nothing'}"
        exponent = fill.fee.normalize().as_tuple().exponent
        if not isinstance(exponent, int) or exponent < -DECIMALS_MAX:
            return f"a fee of {_short(fill.fee)} {fill.fee_asset}, too fine to be booked"
        if fill.fee.adjusted() >= 16 or self._is_absurd(fill):
            return f"a fee of {_short(fill.fee)} {fill.fee_asset}"
        return ""

    def _is_absurd(self, fill: OrderFilled) -> bool:
        listed = self._market.instrument(fill.instrument)
        if listed is None:
            return False
        most: Money = listed.notional(fill.ticks, fill.lots) * self._fee_max
        if fill.fee_asset == listed.base and not listed.is_derivative:
            return abs(fill.fee) > listed.size(fill.lots) * listed.contract_value * self._fee_max
        if fill.fee_asset == listed.notional_asset:
            return abs(fill.fee) > most
        fee_rate = self._market.noted_rate(fill.fee_asset)
        rate = self._market.noted_rate(listed.notional_asset)
        if fee_rate is None or rate is None:
            return False
        return abs(fill.fee) * fee_rate > most * rate


def _short(number: Decimal | int) -> str:
    """Enough of a number for people, however long it is."""
    text = str(number)
    return text if len(text) <= 24 else text[:24] + "..."
