"""Rows of public trades, quotes and bins, and what has been seen of quotes so far."""

from collections import deque
from collections.abc import Sequence
from decimal import Decimal

from oneprice.model.units import MILLI, MINUTE, ROUNDED, ZERO, InstrumentId, Side
from oneprice.twin.contract import Candle, Exchange, Traded
from oneprice.twin.dialects.bitmex.envelope import Row, iso, moment, number
from oneprice.twin.dialects.bitmex.facts import Sheet
from oneprice.twin.dialects.bitmex.names import TRADE, guid

KEPT = 1000
_ZERO_OF = {"PlusTick": "ZeroPlusTick", "MinusTick": "ZeroMinusTick"}


def side_word(side: Side) -> str:
    return "Buy" if side is Side.BUY else "Sell"


class TradeRows:
    """Trades with their tick direction, which depends on the trade before."""

    def __init__(self, exchange: Exchange) -> None:
        self._exchange = exchange
        self._directions: dict[InstrumentId, tuple[int, str]] = {}  # last ticks, direction

    def direction(self, instrument: InstrumentId) -> str:
        """Of the last trade that was told."""
        return self._directions.get(instrument, (0, "ZeroPlusTick"))[1]

    def told(self, sheet: Sheet, trades: Sequence[Traded]) -> list[Row]:
        """Rows of new trades, in order; remembers the last direction."""
        state = self._directions.get(sheet.id, (0, "ZeroPlusTick"))
        rows = []
        for trade in trades:
            state = _step(state, trade.ticks)
            rows.append(_row(sheet, trade, state[1]))
        self._directions[sheet.id] = state
        return rows

    def history(self, sheet: Sheet) -> list[Row]:
        """Everything that is kept, oldest first."""
        state = (0, "ZeroPlusTick")
        rows = []
        for trade in self._exchange.trades(sheet.id, KEPT):
            state = _step(state, trade.ticks)
            rows.append(_row(sheet, trade, state[1]))
        return rows


class Quotes:
    """The best bid and ask of each instrument, whenever they changed."""

    def __init__(self, exchange: Exchange) -> None:
        self._exchange = exchange
        self._rows: dict[InstrumentId, deque[Row]] = {}

    def look(self, sheet: Sheet, at: int) -> Row | None:
        """A new row if the touch is not what it was."""
        ticker = self._exchange.ticker(sheet.id)
        touch = {
            "bidSize": sheet.contracts(ticker.bid_lots),
            "bidPrice": sheet.price(ticker.bid_ticks) if ticker.bid_ticks else None,
            "askPrice": sheet.price(ticker.ask_ticks) if ticker.ask_ticks else None,
            "askSize": sheet.contracts(ticker.ask_lots),
        }
        rows = self._rows.setdefault(sheet.id, deque(maxlen=KEPT))
        if rows and all(rows[-1][name] == value for name, value in touch.items()):
            return None
        row = {"timestamp": iso(at), "symbol": sheet.symbol, **touch}
        rows.append(row)
        return row

    def history(self, sheet: Sheet, at: int) -> list[Row]:
        self.look(sheet, at)
        return list(self._rows[sheet.id])

    def binned(self, sheet: Sheet, at: int, interval_ms: int) -> list[Row]:
        """The last quote of each bin; like trade bins they are named by their end."""
        found: dict[str, Row] = {}
        for row in self.history(sheet, at):
            end = _bin_end(str(row["timestamp"]), interval_ms)
            found[end] = row | {"timestamp": end}
        return list(found.values())


def bin_row(sheet: Sheet, candle: Candle, before: Decimal | None) -> Row:
    """A trade bin: named by its END, and opened by the close of the bin before (section 9)."""
    contracts = sheet.contracts(candle.volume_lots)
    size = sheet.instrument.size(candle.volume_lots) * sheet.instrument.contract_value
    mean = candle.close
    if candle.turnover and size:
        mean = (
            ROUNDED.divide(size, candle.turnover)
            if sheet.inverse
            else ROUNDED.divide(candle.turnover, size)
        )
    home, foreign = sheet.notionals(mean, contracts)
    opened = candle.open if before is None else before
    return {
        "timestamp": iso((candle.start_ms + candle.interval_ms) * MILLI),
        "symbol": sheet.symbol,
        "open": number(opened),
        "high": number(max(candle.high, opened)),
        "low": number(min(candle.low, opened)),
        "close": number(candle.close),
        "trades": candle.trades,
        "volume": contracts,
        "vwap": sheet.fine(mean) if contracts else None,
        "lastSize": sheet.lot_size if contracts else None,
        "turnover": int(candle.turnover.scaleb(sheet.scale).to_integral_value()),
        "homeNotional": home,
        "foreignNotional": foreign,
    }


def index_rows(exchange: Exchange, symbol: str, sheet: Sheet) -> list[Row]:
    """The history of an index as trades of size 0 (section 9): the values of each minute's bar."""
    rows = []
    before = ZERO
    candles = exchange.candles(sheet.id, "index", MINUTE // MILLI, limit=KEPT)
    now = exchange.ticker(sheet.id).at
    for candle in candles:
        for stamp, price in _path(candle, now // MILLI):
            word = "PlusTick" if price > before else "MinusTick"
            before = price
            rows.append(
                {
                    "timestamp": iso(stamp * MILLI),
                    "symbol": symbol,
                    "side": "Buy",
                    "size": 0,
                    "price": number(price),
                    "tickDirection": word,
                    "trdMatchID": guid(TRADE, 0),
                    "grossValue": None,
                    "homeNotional": None,
                    "foreignNotional": None,
                    "trdType": "Referential",
                }
            )
    return rows


def _path(candle: Candle, now_ms: int) -> list[tuple[int, Decimal]]:
    """Four values that make the bar, by quarters; of an unfinished one those that have been."""
    rising = candle.close >= candle.open
    turns = (candle.low, candle.high) if rising else (candle.high, candle.low)
    last = candle.interval_ms - 1
    stamps = (0, last // 3, 2 * last // 3, last)
    values = zip(stamps, (candle.open, *turns, candle.close), strict=True)
    return [
        (candle.start_ms + stamp, price)
        for stamp, price in values
        if candle.start_ms + stamp <= now_ms
    ]


def _step(state: tuple[int, str], ticks: int) -> tuple[int, str]:
    last, word = state
    if not last or ticks == last:
        return ticks, _ZERO_OF.get(word, word)
    return ticks, "PlusTick" if ticks > last else "MinusTick"


def _row(sheet: Sheet, trade: Traded, direction: str) -> Row:
    contracts = sheet.contracts(trade.lots)
    price = sheet.price(trade.ticks)
    home, foreign = sheet.notionals(price, contracts)
    return {
        "timestamp": iso(trade.at),
        "symbol": sheet.symbol,
        "side": side_word(trade.side),
        "size": contracts,
        "price": price,
        "tickDirection": direction,
        "trdMatchID": guid(TRADE, sheet.place << 64 | trade.trade_id),
        "grossValue": abs(sheet.value(price, contracts)),
        "homeNotional": home,
        "foreignNotional": foreign,
        "trdType": "Regular",
    }


def _bin_end(stamp: str, interval_ms: int) -> str:
    step = interval_ms * MILLI
    return iso((moment(stamp) // step + 1) * step)
