"""Public REST: time, instruments, books, trades, tickers, candles, prices, funding, limits."""

from collections.abc import Callable
from decimal import ROUND_FLOOR

from oneprice.model.units import MILLI, plain
from oneprice.twin.contract import Exchange, Refusal, Traded
from oneprice.twin.dialects.okx import candles
from oneprice.twin.dialects.okx.books import Books, rows
from oneprice.twin.dialects.okx.envelope import Answer, Failure, Row, short, stamp
from oneprice.twin.dialects.okx.facts import Sheet, Sheets
from oneprice.twin.dialects.okx.fields import Fields, page, wrong
from oneprice.twin.dialects.okx.listings import instrument_row
from oneprice.twin.dialects.okx.refusals import failure
from oneprice.twin.dialects.okx.tickers import Tickers, tiers

TYPES = ("SPOT", "MARGIN", "SWAP", "FUTURES", "OPTION", "EVENTS")
PublicHandler = Callable[[Fields, int], Answer]


class MarketRest:
    """Handlers of /api/v5/public and /api/v5/market; each takes the query and the time."""

    def __init__(self, exchange: Exchange, sheets: Sheets, books: Books, tickers: Tickers) -> None:
        self._exchange = exchange
        self._sheets = sheets
        self._books = books
        self._tickers = tickers

    def routes(self) -> dict[str, PublicHandler]:
        """Every GET path of this module."""
        public, market = "/api/v5/public/", "/api/v5/market/"
        return {
            public + "time": lambda fields, at: Answer(data=[{"ts": stamp(at)}]),
            public + "instruments": self.instruments,
            public + "mark-price": self.marks,
            public + "price-limit": self.limits,
            public + "open-interest": self.interests,
            public + "funding-rate": self.funding,
            public + "funding-rate-history": self.funding_history,
            public + "premium-history": self.premiums,
            public + "position-tiers": self.tiers,
            public + "estimated-price": self.estimate,
            public + "delivery-exercise-history": self.deliveries,
            public + "convert-contract-coin": self.convert,
            public + "underlying": self.underlyings,
            market + "tickers": self.tickers,
            market + "ticker": self.ticker,
            market + "index-tickers": self.index_tickers,
            market + "index-components": self.components,
            market + "books": lambda fields, at: self.book(fields, at, 400),
            market + "books-full": lambda fields, at: self.book(fields, at, 5000),
            market + "trades": lambda fields, at: self.trades(fields, 500),
            market + "history-trades": lambda fields, at: self.trades(fields, 100),
            market + "candles": lambda fields, at: self.candles(fields, "trade", 300),
            market + "history-candles": lambda fields, at: self.candles(fields, "trade", 300),
            market + "mark-price-candles": lambda fields, at: self.candles(fields, "mark", 100),
            market + "history-mark-price-candles": lambda fields, at: self.candles(
                fields, "mark", 100
            ),
            market + "index-candles": lambda fields, at: self.candles(fields, "index", 100),
            market + "history-index-candles": lambda fields, at: self.candles(
                fields, "index", 100
            ),
            "/api/v5/system/status": lambda fields, at: Answer(data=[]),
        }

    # Which instruments -------------------------------------------------------------------------

    def sheet(self, fields: Fields) -> Sheet:
        """The instrument of `instId`; 51001 where there is none."""
        sheet = self._sheets.by_inst.get(fields.need("instId"))
        if sheet is None:
            raise failure(Refusal("no_such_instrument"))
        return sheet

    def chosen(self, fields: Fields, *, spot: bool = False) -> list[Sheet]:
        """The instruments of `instType`, narrowed by family and name."""
        kind = fields.choice("instType", TYPES)
        found = [
            sheet
            for sheet in self._sheets.of(kind)
            if fields.text("instFamily", fields.text("uly")) in ("", sheet.family)
            and fields.text("instId") in ("", sheet.inst_id)
            and (spot or not sheet.spot)
        ]
        if not found and "instId" in fields:
            raise failure(Refusal("no_such_instrument"))
        return found

    def listed(self, fields: Fields, at: int) -> list[Row]:
        """Instruments; what expired or was delisted has left the list, and is unknown by name."""
        rows = [
            instrument_row(sheet, listing)
            for sheet in self.chosen(fields, spot=True)
            if (listing := self._exchange.listing(sheet.market, sheet.inst_id)).status
            != "delisted"
        ]
        if not rows and "instId" in fields:
            raise failure(Refusal("no_such_instrument"))
        return rows

    def instruments(self, fields: Fields, at: int) -> Answer:
        if fields.need("instType") == "OPTION" and not ("uly" in fields or "instFamily" in fields):
            raise Failure("50015", "Either parameter uly or instFamily is required", 400)
        return Answer(data=self.listed(fields, at))

    def underlyings(self, fields: Fields, at: int) -> Answer:
        families = [sheet.family for sheet in self.chosen(fields)]
        return Answer(data=[list(dict.fromkeys(families))])

    # Prices ------------------------------------------------------------------------------------

    def tickers(self, fields: Fields, at: int) -> Answer:
        found = self.chosen(fields, spot=True)
        return Answer(data=[self._tickers.ticker(sheet, at) for sheet in found])

    def ticker(self, fields: Fields, at: int) -> Answer:
        return Answer(data=[self._tickers.ticker(self.sheet(fields), at)])

    def index_tickers(self, fields: Fields, at: int) -> Answer:
        if "instId" in fields:
            row = self._tickers.index(fields.text("instId"), at)
            if row is None:
                raise Failure("51014", "Index does not exist.")
            return Answer(data=[row])
        quote = fields.text("quoteCcy")
        if not quote:
            raise Failure("50015", "Either parameter quoteCcy or instId is required", 400)
        names = [name for name in self._sheets.indexes if name.endswith(f"-{quote}")]
        found = [self._tickers.index(name, at) for name in names]
        return Answer(data=[row for row in found if row is not None])

    def components(self, fields: Fields, at: int) -> Answer:
        """One component: the twin has no other venues to look at."""
        name = fields.need("index")
        row = self._tickers.index(name, at)
        if row is None:
            raise Failure("51014", "Index does not exist.")
        part = {"exch": "OKX", "symbol": name.replace("-", "/"), "symPx": row["idxPx"],
                "wgt": "1", "cnvPx": row["idxPx"]}
        return Answer(
            data=[
                {"index": name, "last": row["idxPx"], "ts": row["ts"], "components": [part]}
            ]
        )

    def marks(self, fields: Fields, at: int) -> Answer:
        """The document demands `instType`; clients that name an instrument live without it."""
        kind = "ANY" if "instId" in fields else fields.need("instType")
        if "instType" in fields:
            kind = fields.choice("instType", TYPES)
        wanted = "SPOT" if kind == "MARGIN" else kind
        found = [
            sheet
            for sheet in self._sheets.of(wanted)
            if fields.text("instFamily") in ("", sheet.family)
            and fields.text("instId") in ("", sheet.inst_id)
        ]
        if kind == "SPOT" or (not found and "instId" in fields):
            raise failure(Refusal("no_such_instrument"))
        return Answer(data=[self._tickers.mark(sheet, at) for sheet in found])

    def limits(self, fields: Fields, at: int) -> Answer:
        return Answer(data=[self._tickers.limit(self.sheet(fields), at)])

    def interests(self, fields: Fields, at: int) -> Answer:
        found = self.chosen(fields)
        return Answer(data=[self._tickers.interest(sheet, at) for sheet in found])

    def estimate(self, fields: Fields, at: int) -> Answer:
        sheet = self.sheet(fields)
        if not sheet.instrument.expiry:
            raise wrong("instId")
        return Answer(data=[self._tickers.estimate(sheet, at)])

    def deliveries(self, fields: Fields, at: int) -> Answer:
        """Settled dated futures, newest first."""
        rows_ = []
        for sheet in self.chosen(fields):
            listing = self._exchange.listing(sheet.market, sheet.inst_id)
            if listing.settle_price:
                detail = {
                    "type": "delivery",
                    "insId": sheet.inst_id,
                    "px": plain(listing.settle_price),
                }
                rows_.append({"ts": stamp(listing.changed_at), "details": [detail]})
        return Answer(data=rows_)

    # Books and trades --------------------------------------------------------------------------

    def book(self, fields: Fields, at: int, most: int) -> Answer:
        """The book as it stands; the full one has rows of three parts (section 6.1)."""
        sheet = self.sheet(fields)
        depth = fields.whole("sz", 1, 1, most)
        view = self._exchange.book(sheet.id, depth)
        asks, bids = rows(sheet, view.asks), rows(sheet, view.bids)
        if most > 400:
            short_asks = [(price, size, count) for price, size, _, count in asks]
            short_bids = [(price, size, count) for price, size, _, count in bids]
            return Answer(data=[{"asks": short_asks, "bids": short_bids, "ts": stamp(at)}])
        row = {
            "asks": asks,
            "bids": bids,
            "ts": stamp(at),
            "seqId": self._books.at_sequence(sheet.id, view.sequence),
        }
        return Answer(data=[row])

    def trades(self, fields: Fields, most: int) -> Answer:
        """Newest first; history pages by trade id or by time and then only with `after`."""
        sheet = self.sheet(fields)
        found = self._exchange.trades(sheet.id, 1000)
        by_time = most == 100 and fields.choice("type", ("1", "2"), "1") == "2"
        if most == 500:
            limit = fields.limit(100, most)
            return Answer(data=[trade_row(sheet, one) for one in found[::-1][:limit]])
        pairs = [(one.at // MILLI if by_time else one.trade_id, one) for one in found]
        shown: list[Traded] = page(pairs, fields, 100, most)
        return Answer(data=[trade_row(sheet, one) for one in shown])

    def candles(self, fields: Fields, kind: str, most: int) -> Answer:
        """Bars, newest first; `after` is older than, `before` newer than a start time."""
        sheet = self._index_sheet(fields) if kind == "index" else self.sheet(fields)
        bar = candles.BARS.get(fields.text("bar", "1m"))
        if bar is None:
            raise wrong("bar")
        after, before = fields.whole("after", -1), fields.whole("before", -1)
        window = (before + 1 if before >= 0 else None, after - 1 if after >= 0 else None)
        limit = fields.limit(100, most)
        found = candles.find(self._exchange, sheet, kind, bar, window, limit)
        draw = candles.trade_row if kind == "trade" else candles.price_row
        return Answer(data=[draw(sheet, one) for one in found])

    def _index_sheet(self, fields: Fields) -> Sheet:
        found = self._sheets.of_index(fields.need("instId"))
        if not found:
            raise Failure("51014", "Index does not exist.")
        return found[0]

    # Funding -----------------------------------------------------------------------------------

    def funding(self, fields: Fields, at: int) -> Answer:
        if fields.need("instId") == "ANY":
            found = [one for one in self._sheets.all if one.instrument.funding_interval_ms]
        else:
            found = [self._perpetual(fields)]
        return Answer(data=[self._tickers.funding(sheet, at) for sheet in found])

    def funding_history(self, fields: Fields, at: int) -> Answer:
        sheet = self._perpetual(fields)
        settled = self._exchange.funding_rows(sheet.id, limit=400)
        pairs = [(row.at // MILLI, row) for row in settled]
        shown = page(pairs, fields, 400, 400)
        return Answer(data=[self._tickers.settled(sheet, row) for row in shown])

    def premiums(self, fields: Fields, at: int) -> Answer:
        """Premium per minute from mark and index bars, newest first."""
        sheet = self._perpetual(fields)
        marks = self._exchange.candles(sheet.id, "mark", 60_000, limit=100)
        indexes = {
            bar.start_ms: bar.close
            for bar in self._exchange.candles(sheet.id, "index", 60_000, limit=100)
        }
        pairs = [
            (
                bar.start_ms,
                {
                    "instId": sheet.inst_id,
                    "premium": short(bar.close / indexes[bar.start_ms] - 1, 16),
                    "ts": str(bar.start_ms),
                },
            )
            for bar in marks
            if indexes.get(bar.start_ms)
        ]
        return Answer(data=page(pairs, fields, 100, 100))

    def _perpetual(self, fields: Fields) -> Sheet:
        sheet = self.sheet(fields)
        if not sheet.instrument.funding_interval_ms:
            raise failure(Refusal("no_such_instrument"))
        return sheet

    # Contracts ---------------------------------------------------------------------------------

    def tiers(self, fields: Fields, at: int) -> Answer:
        found = self.chosen(fields)
        fields.choice("tdMode", ("cross", "isolated"))
        tables = [
            tiers(sheet, self._exchange.listing(sheet.market, sheet.inst_id), self._exchange)
            for sheet in found[:1]
        ]
        return Answer(data=[row for table in tables for row in table])

    def convert(self, fields: Fields, at: int) -> Answer:
        """Coins to contracts (type 1, whole lots) or contracts to coins (type 2)."""
        sheet = self.sheet(fields)
        size = fields.positive("sz")
        way = fields.choice("type", ("1", "2"), "1")
        if sheet.spot:
            raise wrong("instId")
        price = fields.positive("px") if "px" in fields or sheet.inverse else size
        per_contract = sheet.instrument.contract_value
        if sheet.inverse:
            per_contract = per_contract / price
        lot = sheet.instrument.lot
        if way == "1":
            contracts = size / per_contract
            answer = plain((contracts / lot).to_integral_value(ROUND_FLOOR) * lot)
        else:
            answer = short(size * per_contract)
        unit = fields.choice("unit", ("coin", "usds"), "coin")
        row = {"type": way, "instId": sheet.inst_id, "px": fields.text("px"), "sz": answer,
               "unit": unit}
        return Answer(data=[row])


def trade_row(sheet: Sheet, trade: Traded) -> Row:
    """One public trade; `side` is the taker's."""
    return {
        "instId": sheet.inst_id,
        "side": "buy" if trade.side > 0 else "sell",
        "sz": sheet.size(trade.lots),
        "px": sheet.price(trade.ticks),
        "tradeId": str(trade.trade_id),
        "source": "0",
        "ts": stamp(trade.at),
    }
