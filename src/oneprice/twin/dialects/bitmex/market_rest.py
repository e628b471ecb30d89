"""Public REST: instruments, books, trades, quotes, bins, funding, settlements, insurance."""

from collections.abc import Callable
from decimal import Decimal

from oneprice.model.units import HOUR, MILLI, MINUTE
from oneprice.twin.contract import Exchange
from oneprice.twin.dialects.bitmex.books import Books
from oneprice.twin.dialects.bitmex.envelope import Row, invalid, iso, number, span
from oneprice.twin.dialects.bitmex.facts import COINS, Sheet, Sheets, minor, minor_name
from oneprice.twin.dialects.bitmex.fields import Fields
from oneprice.twin.dialects.bitmex.instruments import Instruments
from oneprice.twin.dialects.bitmex.names import ORDER, guid
from oneprice.twin.dialects.bitmex.tables import tabled
from oneprice.twin.dialects.bitmex.trade_rows import (
    Quotes,
    TradeRows,
    bin_row,
    index_rows,
    side_word,
)

BINS = {
    "1m": MINUTE // MILLI,
    "5m": 5 * MINUTE // MILLI,
    "1h": HOUR // MILLI,
    "1d": 24 * HOUR // MILLI,
}
LONG = 1000  # most rows of trades, quotes and bins; elsewhere 500
BINS_KEPT = 1000
DEPTH = 25  # usual depth of a book
VERSION = "2.0.0"
Handler = Callable[[Fields, int], object]


class MarketRest:
    """Handlers that need no key."""

    def __init__(
        self,
        exchange: Exchange,
        sheets: Sheets,
        instruments: Instruments,
        books: Books,
        trades: TradeRows,
        quotes: Quotes,
    ) -> None:
        self._exchange = exchange
        self._sheets = sheets
        self._instruments = instruments
        self._books = books
        self._trades = trades
        self._quotes = quotes

    def routes(self) -> dict[str, Handler]:
        return {
            "": self._welcome,
            "/announcement": self._nothing,
            "/announcement/urgent": self._nothing,
            "/funding": self._funding,
            "/instrument": self._instrument,
            "/instrument/active": self._active,
            "/instrument/activeAndIndices": self._active_and_indices,
            "/instrument/activeIntervals": self._intervals,
            "/instrument/compositeIndex": self._composite,
            "/instrument/indices": self._indices,
            "/insurance": self._insurance,
            "/liquidation": self._liquidation,
            "/orderBook/L2": self._book,
            "/quote": self._quote,
            "/quote/bucketed": self._quote_bins,
            "/settlement": self._settlement,
            "/trade": self._trade,
            "/trade/bucketed": self._trade_bins,
            "/wallet/assets": self._assets,
        }

    # Service ----------------------------------------------------------------------------------

    def _welcome(self, fields: Fields, at: int) -> Row:
        return {"name": "BitMEX API", "version": VERSION, "timestamp": at // MILLI}

    def _nothing(self, fields: Fields, at: int) -> list[Row]:
        return []

    def _assets(self, fields: Fields, at: int) -> list[Row]:
        return [
            {
                "asset": asset,
                "currency": currency,
                "majorCurrency": asset,
                "name": name,
                "currencyType": "Crypto",
                "scale": scale,
                "enabled": True,
                "isMarginCurrency": asset in ("XBT", "USDT"),
                "networks": [],
            }
            for asset, (currency, scale, name) in COINS.items()
        ]

    # Instruments ------------------------------------------------------------------------------

    def _instrument(self, fields: Fields, at: int) -> list[Row]:
        wanted = fields.text("symbol")
        rows = [self._instruments.row(sheet, at) for sheet in self._sheets.select(wanted)]
        if wanted.startswith("."):
            rows = [row for row in self._index_rows(at) if row["symbol"] == wanted]
        return tabled(rows, fields)

    def _active(self, fields: Fields, at: int) -> list[Row]:
        return [
            self._instruments.row(sheet, at) for sheet in self._sheets.all if _listed(sheet)
        ]

    def _indices(self, fields: Fields, at: int) -> list[Row]:
        return self._index_rows(at)

    def _active_and_indices(self, fields: Fields, at: int) -> list[Row]:
        return self._active(fields, at) + self._index_rows(at)

    def _intervals(self, fields: Fields, at: int) -> Row:
        live = [sheet for sheet in self._sheets.all if _listed(sheet)]
        return {
            "intervals": [
                f"{sheet.root}:{'quarterly' if sheet.dated else 'perpetual'}" for sheet in live
            ],
            "symbols": [sheet.symbol for sheet in live],
        }

    def _index_rows(self, at: int) -> list[Row]:
        found = self._sheets.indices()
        return [self._instruments.index_row(name, sheet, at) for name, sheet in found.items()]

    def _composite(self, fields: Fields, at: int) -> list[Row]:
        """The index by the minute: one constituent and the composite itself."""
        symbol = fields.text("symbol")
        sheet = self._sheets.indices().get(symbol)
        rows: list[Row] = []
        values = index_rows(self._exchange, symbol, sheet) if sheet else []
        for row in values:
            if not str(row["timestamp"]).endswith(":00.000Z"):
                continue
            shared = {
                "timestamp": row["timestamp"],
                "symbol": symbol,
                "indexSymbol": symbol,
                "indexMultiplier": 1,
                "lastPrice": row["price"],
                "sourcePrice": row["price"],
                "logged": row["timestamp"],
            }
            rows.append(shared | {"reference": "CBSE", "weight": 1})
            rows.append(shared | {"reference": "BMI", "weight": None})
        return tabled(rows, fields)

    # Books, trades, quotes --------------------------------------------------------------------

    def _book(self, fields: Fields, at: int) -> list[Row]:
        symbol = fields.text("symbol")
        if not symbol:
            raise invalid("'symbol' is a required arg.")
        depth = fields.whole("depth", DEPTH) or 0
        if depth < 0:
            raise invalid("'depth' must not be below 0")
        found = self._sheets.select(symbol)
        return [row for sheet in found for row in self._books.rest_rows(sheet, depth, at)]

    def _trade(self, fields: Fields, at: int) -> list[Row]:
        wanted = fields.text("symbol")
        index = self._sheets.indices().get(wanted)
        if index is not None:
            return tabled(index_rows(self._exchange, wanted, index), fields, most=LONG)
        rows = [row for one in self._sheets.select(wanted) for row in self._trades.history(one)]
        rows.sort(key=lambda row: str(row["timestamp"]))
        return tabled(rows, fields, most=LONG)

    def _quote(self, fields: Fields, at: int) -> list[Row]:
        found = self._sheets.select(fields.text("symbol"))
        rows = [row for sheet in found for row in self._quotes.history(sheet, at)]
        rows.sort(key=lambda row: str(row["timestamp"]))
        return tabled(rows, fields, most=LONG)

    def _quote_bins(self, fields: Fields, at: int) -> list[Row]:
        step = _bin_size(fields)
        found = self._sheets.select(fields.text("symbol"))
        rows = [row for sheet in found for row in self._quotes.binned(sheet, at, step)]
        if not fields.flag("partial"):
            rows = [row for row in rows if row["timestamp"] <= iso(at)]
        return tabled(rows, fields, most=LONG)

    def _trade_bins(self, fields: Fields, at: int) -> list[Row]:
        step = _bin_size(fields)
        rows: list[Row] = []
        for sheet in self._sheets.select(fields.text("symbol")):
            rows += self.bins(sheet, step, partial=fields.flag("partial"), window=(fields, at))
        rows.sort(key=lambda row: str(row["timestamp"]))
        return tabled(rows, fields, most=LONG)

    def bins(
        self, sheet: Sheet, step: int, *, partial: bool, window: tuple[Fields, int]
    ) -> list[Row]:
        """Trade bins of one instrument, oldest first; one more is read for the first open."""
        fields, at = window
        first, last = fields.time("startTime"), fields.time("endTime")
        count = min(BINS_KEPT, (fields.whole("count") or 100) + (fields.whole("start") or 0)) + 2
        begin, end = None, (at if last is None else min(at, last)) // MILLI
        if first is not None:
            begin = first // MILLI - 2 * step
            if not fields.flag("reverse"):  # the oldest ones are wanted
                end = min(end, begin + (count - 1) * step)
        candles = self._exchange.candles(
            sheet.id, "trade", step, start_ms=begin, end_ms=end, limit=count
        )
        closes: list[Decimal | None] = [None, *(candle.close for candle in candles)]
        pairs = list(zip(candles, closes, strict=False))
        if candles and (len(candles) == count or (begin or 0) + step > candles[0].start_ms):
            pairs = pairs[1:]  # it was only read for its close; the first bar ever stays
        return [
            bin_row(sheet, candle, before) for candle, before in pairs if partial or candle.closed
        ]

    # Funding, settlement, liquidation, insurance ------------------------------------------------

    def _funding(self, fields: Fields, at: int) -> list[Row]:
        found = self._sheets.select(fields.text("symbol"))
        if fields.text("symbol") in {sheet.root for sheet in found}:
            found = [one for one in self._sheets.all if one.root == fields.text("symbol")]
        rows = [row for sheet in found for row in self.funding_rows(sheet)]
        rows.sort(key=lambda row: str(row["timestamp"]))
        return tabled(rows, fields)

    def funding_rows(self, sheet: Sheet) -> list[Row]:
        interval = sheet.instrument.funding_interval_ms
        if not interval:
            return []
        return [
            funding_row(sheet, row.at, row.rate)
            for row in self._exchange.funding_rows(sheet.id, limit=LONG)
        ]

    def _settlement(self, fields: Fields, at: int) -> list[Row]:
        found = self._sheets.select(fields.text("symbol"))
        rows = [row for sheet in found for row in self.settlement_rows(sheet)]
        return tabled(rows, fields)

    def settlement_rows(self, sheet: Sheet) -> list[Row]:
        listing = self._exchange.listing(sheet.instrument.market, sheet.symbol)
        if listing.status != "delisted":
            return []
        return [
            {
                "timestamp": iso(listing.changed_at),
                "symbol": sheet.symbol,
                "settlementType": "Settlement",
                "settledPrice": number(listing.settle_price),
                "bankrupt": None,
                "taxBase": None,
                "taxRate": None,
            }
        ]

    def _liquidation(self, fields: Fields, at: int) -> list[Row]:
        """Orders being worked on; the exchange's are done at once, so the last hour's show."""
        found = self._sheets.select(fields.text("symbol"))
        rows: list[Row] = []
        for sheet in found:
            for one in self._exchange.liquidations(sheet.id):
                if one.at > at - HOUR:
                    rows.append(
                        {
                            "orderID": guid(ORDER, one.order_id),
                            "symbol": sheet.symbol,
                            "side": side_word(one.side),
                            "price": sheet.price(one.ticks),
                            "leavesQty": sheet.contracts(one.lots),
                        }
                    )
        return tabled(rows, fields)

    def _insurance(self, fields: Fields, at: int) -> list[Row]:
        return tabled(self.insurance_rows(at), fields, keys=("currency",))

    def insurance_rows(self, at: int) -> list[Row]:
        return [
            {
                "currency": minor_name(asset),
                "timestamp": iso(at // (24 * HOUR) * 24 * HOUR),
                "walletBalance": minor(asset, amount),
            }
            for asset, amount in self._exchange.insurance().items()
        ]


def funding_row(sheet: Sheet, at: int, rate: Decimal) -> Row:
    interval = sheet.instrument.funding_interval_ms
    per_day = Decimal(24 * HOUR // MILLI) / interval
    return {
        "timestamp": iso(at),
        "symbol": sheet.symbol,
        "fundingInterval": span(interval),
        "fundingRate": number(rate),
        "fundingRateDaily": number(rate * per_day),
    }


def _listed(sheet: Sheet) -> bool:
    return sheet.state in ("Open", "Closed")


def _bin_size(fields: Fields) -> int:
    found = BINS.get(fields.text("binSize", "1m"))
    if found is None:
        raise invalid(f"'binSize' must be one of {', '.join(BINS)}")
    return found
