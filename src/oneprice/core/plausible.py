"""Plausible: whether the fee that a venue tells of a fill can be true.

What cannot be true is named and not booked: a venue that lies must not bend the books, nor stop
them by numbers that exact arithmetic cannot hold. The fill itself counts, for the position is
real; its fee is corrected when it is told again.
"""

from collections import OrderedDict
from collections.abc import Sequence
from decimal import Decimal

from oneprice.core.market import Market
from oneprice.core.strategy import Decision, Discrepancy
from oneprice.model.events import OrderFilled
from oneprice.model.units import BPS, Asset, InstrumentId, Money, Side

# Sums of balances (up to 1e16 coins) and fees must stay within the 34 digits of EXACT.
DECIMALS_MAX = 18
EXPECTED = "a fee that can be true"
LIES_KEPT = 1_000

Fee = tuple[Money, Asset]


class Plausible:
    """Knows instruments and rates; asked about every fill before its fee counts."""

    def __init__(self, market: Market, fee_bps_max: Decimal) -> None:
        self._market = market
        self._fee_max = fee_bps_max * BPS  # of notional
        self._lies: OrderedDict[tuple[InstrumentId, str, Side], Fee] = OrderedDict()
        # In a recall: whose fees the record calls lies behind the present fact.
        self.recalled: Sequence[str] | None = None

    def fee_lie(self, fill: OrderFilled) -> str:
        """Why the fee of a fill cannot be true, or "". A lie is one whatever is configured
        later: in a recall the record says so, and one that was named once is not named again."""
        if self.recalled is None:
            return self._doubt(fill)
        is_lie = subject_of(fill) in self.recalled or self.is_named(fill)
        return f"a fee of {_short(fill.fee)} {fill.fee_asset}" if is_lie else ""

    def named(self, fill: OrderFilled) -> None:
        """The fee of a fill was told as a lie."""
        self._lies[fill.instrument, fill.fill_id, fill.side] = (fill.fee, fill.fee_asset)
        if len(self._lies) > LIES_KEPT:
            self._lies.popitem(last=False)

    def is_named(self, fill: OrderFilled) -> bool:
        """Whether just this fee of this fill has been told as a lie."""
        known = self._lies.get((fill.instrument, fill.fill_id, fill.side))
        return known is not None and _same(known, (fill.fee, fill.fee_asset))

    def _doubt(self, fill: OrderFilled) -> str:
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


def subject_of(fill: OrderFilled) -> str:
    """What a difference about a fill is told of."""
    return fill.order_id or f"{fill.instrument} {fill.fill_id}"


def fees_named(record: Sequence[object], place: int) -> Sequence[str]:
    """Subjects whose fees a record calls lies behind its fact at `place`, before the next."""
    found: list[str] = []
    for item in record[place + 1 :]:
        if not isinstance(item, Decision):
            break
        if isinstance(item, Discrepancy) and item.expected == EXPECTED:
            found.append(item.subject)
    return found


def _same(one: Fee, other: Fee) -> bool:
    return one[1] == other[1] and str(one[0]) == str(other[0])  # a NaN is not itself


def _short(number: Decimal | int) -> str:
    """Enough of a number for people, however long it is."""
    text = str(number)
    return text if len(text) <= 24 else text[:24] + "..."
