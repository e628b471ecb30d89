"""Tickers, mark and index prices, funding, limits and open interest as rows."""

from decimal import Decimal

from oneprice.model.units import HOUR, MILLI, ZERO, plain
from oneprice.twin.contract import Exchange, FundingRow, Listing, Ticker
from oneprice.twin.dialects.okx.candles import BARS, HOUR_MS
from oneprice.twin.dialects.okx.envelope import Row, short, stamp
from oneprice.twin.dialects.okx.facts import Sheet, Sheets

SETTLING_NS = 5_000 * MILLI  # settState says "processing" this long after an instant


class Tickers:
    """Draws rows of the state of instruments; the same ones for REST and for channels."""

    def __init__(self, exchange: Exchange, sheets: Sheets) -> None:
        self._exchange = exchange
        self._sheets = sheets
        self._opens: dict[tuple[str, str], tuple[int, Decimal]] = {}
        self._days: dict[str, tuple[int, Decimal, Decimal, Decimal]] = {}

    def ticker(self, sheet: Sheet, at: int) -> Row:
        """Section 7: `vol24h` in contracts (spot: base), `volCcy24h` in coins (spot: quote)."""
        ticker = self._exchange.ticker(sheet.id)
        last = self._exchange.trades(sheet.id, 1)
        middle = sheet.instrument.price(ticker.last_ticks)
        coins = sheet.coins(ticker.volume_24h_lots, middle)
        return {
            "instType": sheet.inst_type,
            "instId": sheet.inst_id,
            "last": sheet.price(ticker.last_ticks),
            "lastSz": sheet.size(last[-1].lots) if last else "0",
            "askPx": sheet.price(ticker.ask_ticks) if ticker.ask_lots else "",
            "askSz": sheet.size(ticker.ask_lots) if ticker.ask_lots else "",
            "bidPx": sheet.price(ticker.bid_ticks) if ticker.bid_lots else "",
            "bidSz": sheet.size(ticker.bid_lots) if ticker.bid_lots else "",
            "open24h": sheet.price(ticker.open_24h_ticks),
            "high24h": sheet.price(ticker.high_24h_ticks),
            "low24h": sheet.price(ticker.low_24h_ticks),
            "volCcy24h": short(ticker.turnover_24h if sheet.spot else coins, 8),
            "vol24h": sheet.size(ticker.volume_24h_lots),
            "sodUtc0": self._opened(sheet, "trade", "1Dutc", at),
            "sodUtc8": self._opened(sheet, "trade", "1D", at),
            "ts": stamp(ticker.at or at),
        }

    def index(self, name: str, at: int) -> Row | None:
        """The index of a pair of coins; None where no instrument has it."""
        for sheet in self._sheets.of_index(name):
            ticker = self._exchange.ticker(sheet.id)
            value = ticker.index or (
                sheet.instrument.price(ticker.last_ticks) if sheet.spot else ZERO
            )
            if not value:
                continue
            opened, high, low = self._day(sheet, value, at)
            return {
                "instId": name,
                "idxPx": sheet.quoted(value),
                "high24h": sheet.quoted(high),
                "low24h": sheet.quoted(low),
                "open24h": sheet.quoted(opened),
                "sodUtc0": self._opened(sheet, "index", "1Dutc", at) or sheet.quoted(value),
                "sodUtc8": self._opened(sheet, "index", "1D", at) or sheet.quoted(value),
                "ts": stamp(at),
            }
        return None

    def _day(self, sheet: Sheet, value: Decimal, at: int) -> tuple[Decimal, Decimal, Decimal]:
        """Open, high and low of an index over about 24 h; its bars are read once an hour."""
        hour = at // HOUR
        known = self._days.get(sheet.id)
        if known is None or known[0] != hour:
            bars = self._exchange.candles(sheet.id, "index", 4 * HOUR_MS, limit=6)
            known = (
                hour,
                bars[0].open if bars else value,
                max([value, *(bar.high for bar in bars)]),
                min([value, *(bar.low for bar in bars)]),
            )
        known = (hour, known[1], max(known[2], value), min(known[3], value))
        self._days[sheet.id] = known
        return known[1:]

    def mark(self, sheet: Sheet, at: int) -> Row:
        """Spot pairs have a mark price, too, as margin instruments."""
        ticker = self._exchange.ticker(sheet.id)
        value = ticker.mark or ticker.index or sheet.instrument.price(ticker.last_ticks)
        kind = "MARGIN" if sheet.spot else sheet.inst_type
        return {
            "instType": kind,
            "instId": sheet.inst_id,
            "markPx": sheet.quoted(value),
            "ts": stamp(at),
        }

    def limit(self, sheet: Sheet, at: int) -> Row:
        highest, lowest = self._exchange.price_band(sheet.id)
        return {
            "instType": sheet.inst_type,
            "instId": sheet.inst_id,
            "buyLmt": sheet.price(highest) if highest else "",
            "sellLmt": sheet.price(lowest) if lowest else "",
            "ts": stamp(at),
            "enabled": bool(highest),
        }

    def interest(self, sheet: Sheet, at: int) -> Row:
        ticker = self._exchange.ticker(sheet.id)
        price = ticker.mark or sheet.instrument.price(ticker.last_ticks)
        lots = ticker.open_interest_lots
        return {
            "instType": sheet.inst_type,
            "instId": sheet.inst_id,
            "oi": sheet.size(lots),
            "oiCcy": short(sheet.coins(lots, price)),
            "oiUsd": short(sheet.dollars(lots, price)),
            "ts": stamp(at),
        }

    def funding(self, sheet: Sheet, at: int) -> Row:
        """Section 9: the rate that will be charged at `fundingTime`; none is told for the next."""
        ticker = self._exchange.ticker(sheet.id)
        settled = self._exchange.funding_rows(sheet.id, limit=1)
        interval = (ticker.funding_interval_ms or sheet.instrument.funding_interval_ms) * MILLI
        fresh = bool(settled) and at - settled[-1].at < SETTLING_NS
        premium = ZERO
        if ticker.index:
            premium = ticker.mark / ticker.index - 1
        cap = plain(sheet.extras.funding_cap)
        return {
            "instType": sheet.inst_type,
            "instId": sheet.inst_id,
            "method": "current_period",
            "formulaType": "withRate",
            "fundingRate": plain(ticker.funding_rate),
            "nextFundingRate": "",
            "fundingTime": stamp(ticker.funding_due),
            "nextFundingTime": stamp(ticker.funding_due + interval),
            "minFundingRate": f"-{cap}",
            "maxFundingRate": cap,
            "interestRate": plain(sheet.extras.funding_interest),
            "impactValue": "20000",
            "settState": "processing" if fresh else "settled",
            "settFundingRate": plain(settled[-1].rate) if settled else "",
            "premium": short(premium, 16),
            "ts": stamp(at),
        }

    def settled(self, sheet: Sheet, row: FundingRow) -> Row:
        """A row of the history; the twin charges what it predicted."""
        return {
            "instType": sheet.inst_type,
            "instId": sheet.inst_id,
            "method": "current_period",
            "formulaType": "withRate",
            "fundingRate": plain(row.rate),
            "realizedRate": plain(row.rate),
            "fundingTime": stamp(row.at),
        }

    def estimate(self, sheet: Sheet, at: int) -> Row:
        """The running estimate of a delivery price."""
        ticker: Ticker = self._exchange.ticker(sheet.id)
        return {
            "instType": sheet.inst_type,
            "instId": sheet.inst_id,
            "settlePx": sheet.quoted(ticker.settle_price or ticker.index),
            "settleType": "delivery",
            "ts": stamp(at),
        }

    def _opened(self, sheet: Sheet, kind: str, name: str, at: int) -> str:
        """The price at the start of the day; looked up once a day and kind."""
        bar = BARS[name]
        start = bar.start(at // MILLI)
        known = self._opens.get((sheet.id, kind + name))
        if known is None or known[0] != start:
            found = self._exchange.candles(
                sheet.id, kind, HOUR_MS, start_ms=start, end_ms=start, limit=1
            )
            if not found:
                return ""
            known = self._opens[sheet.id, kind + name] = (start, found[0].open)
        return sheet.quoted(known[1])


def tiers(sheet: Sheet, listing: Listing, exchange: Exchange) -> list[Row]:
    """Position tiers in contracts (section 8)."""
    ticker = exchange.ticker(sheet.id)
    price = ticker.mark or sheet.instrument.price(ticker.last_ticks)
    worth = sheet.dollars(1, price) if not sheet.inverse else sheet.coins(1, price)
    found = []
    for tier in exchange.tiers(sheet.id):
        low = int(tier.value_from / worth) if worth else 0
        high = int(tier.value_to / worth) if worth and tier.value_to else 0
        most = high or int(sheet.instrument.lots_max) or 10**12
        found.append(
            {
                "instType": sheet.inst_type,
                "instFamily": sheet.family,
                "uly": sheet.family,
                "instId": "",
                "tier": str(tier.number),
                "minSz": sheet.size(low),
                "maxSz": sheet.size(most),
                "mmr": plain(tier.maintenance_rate),
                "imr": short(tier.initial_rate),
                "maxLever": plain(min(tier.leverage_max, listing.extras.leverage_max)),
                "optMgnFactor": "0",
                "quoteMaxLoan": "",
                "baseMaxLoan": "",
            }
        )
    return found
