"""KuCoin's public messages besides books: touch, trades, mark, funding, candles.

Source: KuCoin API docs, "Ticker", "Match execution data", "Contract market data", "Klines".
"""

from collections.abc import Sequence
from decimal import Decimal

import msgspec

from oneprice.model.events import (
    AnyEvent,
    CandleClosed,
    FundingForecast,
    FundingSettled,
    Marked,
    MarketTraded,
    TouchQuoted,
)
from oneprice.model.instrument import Instrument
from oneprice.model.units import MILLI, InstrumentId, Nanos, Side
from oneprice.venues.kucoin.wire import (
    CANDLE,
    CONTRACT_DATA,
    FUTURES_TICKER,
    MATCHED,
    SPOT_TICKER,
    ContractRow,
    decimal,
    decimal_or_zero,
    is_there,
    milliseconds,
    whole,
)

_MINUTE_MS = 60_000
SPOT_CANDLES = {
    "1min": 1, "3min": 3, "5min": 5, "15min": 15, "30min": 30, "1hour": 60, "2hour": 120,
    "4hour": 240, "6hour": 360, "8hour": 480, "12hour": 720, "1day": 1440, "1week": 10080,
}  # fmt: skip
FUTURES_CANDLES = {
    "1min": 1, "5min": 5, "15min": 15, "30min": 30, "1hour": 60, "2hour": 120, "4hour": 240,
    "8hour": 480, "12hour": 720, "1day": 1440, "1week": 10080,
}  # fmt: skip


def candle_name(market: str, interval_ms: int) -> str:
    """The venue's word for a length of bar; ValueError where it has none."""
    names = SPOT_CANDLES if market == "spot" else FUTURES_CANDLES
    for name, minutes in names.items():
        if minutes * _MINUTE_MS == interval_ms:
            return name
    raise ValueError(f"candles of {interval_ms} ms: {market} has {', '.join(names)}")


def side_of(text: str) -> Side:
    match text:
        case "buy":
            return Side.BUY
        case "sell":
            return Side.SELL
    raise ValueError(f"side: expected buy or sell, found {text[:20]!r}")


def touch(item: Instrument, data: msgspec.Raw, at: Nanos) -> Sequence[AnyEvent]:
    """Best prices and sizes of a ticker; nothing where a side is empty."""
    if item.is_derivative:
        row = FUTURES_TICKER.decode(data)
        bid, ask = row.best_bid_price, row.best_ask_price
        bid_size, ask_size, stamp = row.best_bid_size, row.best_ask_size, row.ts
        sequence = row.sequence
    else:
        spot = SPOT_TICKER.decode(data)
        bid, ask = spot.best_bid, spot.best_ask
        bid_size, ask_size, stamp = spot.best_bid_size, spot.best_ask_size, spot.time
        sequence = spot.sequence
    if not decimal_or_zero(bid, "bestBid") or not decimal_or_zero(ask, "bestAsk"):
        return ()
    return (
        TouchQuoted(
            at=at,
            instrument=item.id,
            bid_ticks=item.ticks(decimal(bid, "bestBid")),
            bid_lots=item.lots(decimal(bid_size, "bestBidSize")),
            ask_ticks=item.ticks(decimal(ask, "bestAsk")),
            ask_lots=item.lots(decimal(ask_size, "bestAskSize")),
            sequence=whole(sequence, "sequence"),
            venue_ms=milliseconds(stamp, "time"),
        ),
    )


def traded(item: Instrument, data: msgspec.Raw, at: Nanos) -> Sequence[AnyEvent]:
    row = MATCHED.decode(data)
    return (
        MarketTraded(
            at=at,
            instrument=item.id,
            ticks=item.ticks(decimal(row.price, "price")),
            lots=item.lots(decimal(row.size, "size")),
            side=side_of(row.side),
            trade_id=str(row.trade_id),
            venue_ms=milliseconds(row.time, "time") or milliseconds(row.ts, "ts"),
        ),
    )


class _Period(msgspec.Struct):
    """The settlement that comes next, and what is predicted for the one after it."""

    due_ms: int
    interval_ms: int
    rate: Decimal | None
    after: Decimal | None


class Funding:
    """Rates of the coming settlements, by contract.

    The listing tells the rate, the prediction and the instant; the stream tells each minute the
    prediction alone (granularity 60000), and nothing of time. So the instant rolls on by the
    interval, and what was predicted becomes the rate, until the venue says otherwise.
    """

    def __init__(self) -> None:
        self._periods: dict[InstrumentId, _Period] = {}

    def listed(self, item: Instrument, row: ContractRow, at: Nanos) -> Sequence[AnyEvent]:
        """The forecast in a row of the contract list; nothing where it has none."""
        if not item.funding_interval_ms or not is_there(row.funding_fee_rate):
            return ()
        due = milliseconds(row.next_funding_rate_date_time, "nextFundingRateDateTime")
        left = row.next_funding_rate_time
        if not due and is_there(left):
            # What remains, from a clock a little behind: settlements are at whole minutes.
            due = at // MILLI + whole(left, "nextFundingRateTime") + _MINUTE_MS // 2
            due -= due % _MINUTE_MS
        if not due:
            return ()
        after = row.predicted_funding_fee_rate
        self._periods[item.id] = _Period(
            due_ms=due,
            interval_ms=item.funding_interval_ms,
            rate=decimal(row.funding_fee_rate, "fundingFeeRate"),
            after=decimal(after, "predictedFundingFeeRate") if is_there(after) else None,
        )
        return self._forecast(item, at)

    def contract(self, item: Instrument, subject: str, data: msgspec.Raw, at: Nanos) -> Sequence[
        AnyEvent
    ]:  # fmt: skip
        """A message of /contract/instrument or /contract/announcement."""
        row = CONTRACT_DATA.decode(data)
        stamp = milliseconds(row.timestamp, "timestamp")
        match subject:
            case "mark.index.price":
                mark, index = row.mark_price, row.index_price
                return (
                    Marked(
                        at=at,
                        instrument=item.id,
                        mark=decimal(mark, "markPrice") if is_there(mark) else None,
                        index=decimal(index, "indexPrice") if is_there(index) else None,
                        venue_ms=stamp,
                    ),
                )
            case "funding.rate":
                rate = decimal(row.funding_rate, "fundingRate")
                return self._rated(item, rate, whole(row.granularity, "granularity"), stamp, at)
            case "funding.end":
                settled = milliseconds(row.funding_time, "fundingTime")
                if not settled or not is_there(row.funding_rate):
                    return ()
                return (
                    FundingSettled(
                        at=at,
                        instrument=item.id,
                        rate=decimal(row.funding_rate, "fundingRate"),
                        settled_ms=settled,
                        interval_ms=item.funding_interval_ms,
                    ),
                )
            case "funding.begin":
                return ()
        raise ValueError(f"subject: unknown, found {subject[:40]!r}")

    def _rated(
        self, item: Instrument, rate: Decimal, granularity_ms: int, stamp: int, at: Nanos
    ) -> Sequence[AnyEvent]:
        period = self._periods.get(item.id)
        if period is None:
            return ()  # no instant is known: half a forecast would be a guess
        _roll(period, stamp or at // MILLI)
        if granularity_ms > _MINUTE_MS:  # the rate of the coming settlement itself
            period.rate = rate
        else:
            period.after = rate
        return self._forecast(item, at)

    def _forecast(self, item: Instrument, at: Nanos) -> Sequence[AnyEvent]:
        period = self._periods[item.id]
        _roll(period, at // MILLI)
        if period.rate is None:
            return ()
        return (
            FundingForecast(
                at=at,
                instrument=item.id,
                rate=period.rate,
                due=Nanos(period.due_ms * MILLI),
                interval_ms=period.interval_ms,
                next_rate=period.after,
            ),
        )


def _roll(period: _Period, now_ms: int) -> None:
    """Move on past settlements; a guess reaches one period and no further."""
    if now_ms < period.due_ms:
        return
    steps = (now_ms - period.due_ms) // period.interval_ms + 1
    period.due_ms += steps * period.interval_ms
    period.rate = period.after if steps == 1 else None
    period.after = None


class Bars:
    """Running candles: a bar is closed when the next one begins. Nothing else says so."""

    def __init__(self) -> None:
        self._bars: dict[tuple[InstrumentId, str], CandleClosed] = {}

    def forget(self, instrument: InstrumentId) -> None:
        """A bar that was not heard to its end must not be told."""
        self._bars = {key: bar for key, bar in self._bars.items() if key[0] != instrument}

    def take(
        self, item: Instrument, name: str, data: msgspec.Raw, at: Nanos
    ) -> Sequence[AnyEvent]:
        names = FUTURES_CANDLES if item.is_derivative else SPOT_CANDLES
        if name not in names:
            raise ValueError(f"candles: expected one of {', '.join(names)}, found {name[:20]!r}")
        row = CANDLE.decode(data).candles
        if len(row) < 6:
            raise ValueError(f"candles: expected 7 numbers, found {len(row)}")
        bar = spot_bar(item, row, names[name] * _MINUTE_MS, at)
        key = (item.id, name)
        had = self._bars.get(key)
        if had is not None and bar.start_ms < had.start_ms:
            return ()
        self._bars[key] = bar
        if had is None or bar.start_ms == had.start_ms:
            return ()
        return (msgspec.structs.replace(had, at=at),)


def spot_bar(
    item: Instrument, row: Sequence[msgspec.Raw], interval_ms: int, at: Nanos
) -> CandleClosed:
    """start (s), open, close, high, low, volume: the order of spot everywhere and of the futures
    stream, whose volume is documented as wrong and left out."""
    volume = Decimal(0) if item.is_derivative else decimal(row[5], "volume")
    return CandleClosed(
        at=at,
        instrument=item.id,
        kind="trade",
        interval_ms=interval_ms,
        start_ms=milliseconds(row[0], "start"),
        open=decimal(row[1], "open"),
        close=decimal(row[2], "close"),
        high=decimal(row[3], "high"),
        low=decimal(row[4], "low"),
        volume=volume,
    )


def futures_bar(
    item: Instrument, row: Sequence[msgspec.Raw], interval_ms: int, at: Nanos
) -> CandleClosed:
    """start (ms), open, high, low, close, volume in contracts: the order of futures REST."""
    return CandleClosed(
        at=at,
        instrument=item.id,
        kind="trade",
        interval_ms=interval_ms,
        start_ms=milliseconds(row[0], "start"),
        open=decimal(row[1], "open"),
        high=decimal(row[2], "high"),
        low=decimal(row[3], "low"),
        close=decimal(row[4], "close"),
        volume=decimal(row[5], "volume"),
    )
