"""exchangeInfo of the three products and the futures' funding and reference data."""

from decimal import Decimal
from typing import Any

from oneprice.model.instrument import Instrument
from oneprice.model.units import HOUR, MILLI, plain
from oneprice.twin.contract import Exchange, Extras, Listing
from oneprice.twin.dialects.binance import denials
from oneprice.twin.dialects.binance.calls import Call
from oneprice.twin.dialects.binance.limits import Limits
from oneprice.twin.dialects.binance.market import MarketDesk
from oneprice.twin.dialects.binance.shapes import PERPETUAL_END_MS, digits, fixed, millis, pair_of

_STP = ["EXPIRE_TAKER", "EXPIRE_MAKER", "EXPIRE_BOTH"]
_EIGHT_HOURS_MS = 28_800_000


class FactsDesk:
    """Says what is listed and by which rules."""

    def __init__(self, exchange: Exchange, desk: MarketDesk, limits: dict[str, Limits]) -> None:
        self.exchange = exchange
        self.desk = desk
        self.limits = limits

    # exchangeInfo ------------------------------------------------------------------------

    def spot_info(self, call: Call) -> dict[str, Any]:
        chosen, _ = self.desk.chosen(call)
        wanted = {instrument.id for instrument in chosen}
        rows = [row for row in self.exchange.listings("spot") if row.instrument.id in wanted]
        shown = [spot_symbol(row) for row in rows]
        if call.text("showPermissionSets").lower() == "false":
            shown = [row | {"permissionSets": []} for row in shown]
        return {
            "timezone": "UTC",
            "serverTime": call.now_ms,
            "rateLimits": self.limits["spot"].published(),
            "exchangeFilters": [],
            "symbols": shown,
        }

    def usdm_info(self, call: Call) -> dict[str, Any]:
        rows = self.exchange.listings("usdm")
        coins: dict[str, None] = {}
        for row in rows:
            coins.setdefault(row.instrument.settle)
        return {
            "timezone": "UTC",
            "serverTime": call.now_ms,
            "futuresType": "U_MARGINED",
            "rateLimits": self.limits["usdm"].published(),
            "exchangeFilters": [],
            "assets": [
                {"asset": coin, "marginAvailable": True, "autoAssetExchange": "-10000"}
                for coin in coins
            ],
            "symbols": [futures_symbol(row) for row in rows],
        }

    def coinm_info(self, call: Call) -> dict[str, Any]:
        return {
            "timezone": "UTC",
            "serverTime": call.now_ms,
            "rateLimits": self.limits["coinm"].published(),
            "exchangeFilters": [],
            "symbols": [futures_symbol(row) for row in self.exchange.listings("coinm")],
        }

    # Reference prices and funding --------------------------------------------------------

    def premium_index(self, call: Call) -> Any:
        """Despite its name `lastFundingRate` is the running estimate for the next settlement."""
        chosen, one = self.desk.chosen(call)
        if call.product == "coinm" and call.text("pair"):
            chosen, one = [i for i in chosen if pair_of(i) == call.text("pair")], False
        rows = [self._premium(instrument, call) for instrument in chosen]
        return rows[0] if one else rows

    def _premium(self, instrument: Instrument, call: Call) -> dict[str, Any]:
        ticker = self.exchange.ticker(instrument.id)
        row: dict[str, Any] = {"symbol": instrument.symbol}
        if call.product == "coinm":
            row["pair"] = pair_of(instrument)
        interest = self.exchange.listing(call.product, instrument.symbol).extras.funding_interest
        dated = not instrument.funding_interval_ms
        return row | {
            "markPrice": fixed(ticker.mark),
            "indexPrice": fixed(ticker.index),
            "estimatedSettlePrice": fixed(ticker.index),
            "lastFundingRate": "" if dated else fixed(ticker.funding_rate),
            "interestRate": "" if dated else fixed(interest),
            "nextFundingTime": 0 if dated else millis(ticker.funding_due),
            "time": call.now_ms,
        }

    def funding_rate(self, call: Call) -> list[dict[str, Any]]:
        """Settled rates, oldest first; from `startTime` on where one is given."""
        chosen, _ = self.desk.chosen(call)
        limit = call.window(100, 1_000)
        start, end = call.integer("startTime", -1), call.integer("endTime", -1)
        rows: list[dict[str, Any]] = []
        for instrument in chosen:
            found = self.exchange.funding_rows(
                instrument.id,
                start=start * MILLI if start >= 0 else None,
                end=end * MILLI + MILLI - 1 if end >= 0 else None,
                limit=1_000_000,
            )
            found = found[:limit] if start >= 0 else found[-limit:]
            rows += [
                {
                    "symbol": instrument.symbol,
                    "fundingTime": millis(row.at),
                    "fundingRate": fixed(row.rate),
                    "markPrice": fixed(row.mark),
                    "rateType": "REALIZED",
                }
                for row in found
            ]
        return sorted(rows, key=lambda row: int(row["fundingTime"]))[-limit:]

    def funding_info(self, call: Call) -> list[dict[str, Any]]:
        """Only symbols whose interval is not the default of eight hours."""
        rows = []
        for row in self.exchange.listings(call.product):
            interval = row.instrument.funding_interval_ms
            if interval in (0, _EIGHT_HOURS_MS):
                continue
            rows.append(
                {
                    "symbol": row.instrument.symbol,
                    "adjustedFundingRateCap": fixed(row.extras.funding_cap),
                    "adjustedFundingRateFloor": fixed(-row.extras.funding_cap),
                    "fundingIntervalHours": interval * MILLI // HOUR,
                    "disclaimer": False,
                    "updateTime": call.now_ms,
                }
            )
        return rows

    def open_interest(self, call: Call) -> dict[str, Any]:
        instrument = self.desk.find(call)
        ticker = self.exchange.ticker(instrument.id)
        size = self.desk.catalog.grid(instrument.id).size(ticker.open_interest_lots)
        return {"symbol": instrument.symbol, "openInterest": size, "time": millis(ticker.at)}

    def constituents(self, call: Call) -> dict[str, Any]:
        instrument = self.desk.find(call)
        return {
            "symbol": instrument.symbol,
            "time": call.now_ms,
            "constituents": [{"exchange": "binance", "symbol": pair_of(instrument)}],
        }

    def nothing(self, call: Call) -> list[Any]:
        """Margin trading and whatever else is asked for and not offered here."""
        return []

    def ping(self, call: Call) -> dict[str, Any]:
        return {}

    def time(self, call: Call) -> dict[str, Any]:
        return {"serverTime": call.now_ms}

    def gone(self, call: Call) -> Any:
        raise denials.gone()


def delivery_ms(row: Listing) -> int:
    """A perpetual's is far away until its delisting is announced."""
    return millis(row.delisting_at or row.instrument.expiry) or PERPETUAL_END_MS


def _spot_status(row: Listing) -> str:
    if row.status == "paused" and row.pause_word == "not_tradable":
        return "HALT"
    halted = not row.instrument.tradable or row.status in ("settling", "delisted")
    return "BREAK" if halted else "TRADING"


def futures_status(row: Listing) -> str:
    """A venue that is merely busy does not change what it lists."""
    match row.status:
        case "delisted":
            return "DELIVERED" if row.instrument.expiry else "CLOSE"
        case "settling":
            return "DELIVERING" if row.instrument.expiry else "SETTLING"
        case "paused" if row.pause_word == "not_tradable":
            return "PENDING_TRADING"
    return "TRADING" if row.instrument.tradable else "SETTLING"


def spot_symbol(row: Listing) -> dict[str, Any]:
    instrument, extras = row.instrument, row.extras
    return {
        "symbol": instrument.symbol,
        "status": _spot_status(row),
        "baseAsset": instrument.base,
        "baseAssetPrecision": 8,
        "quoteAsset": instrument.quote,
        "quotePrecision": 8,
        "quoteAssetPrecision": 8,
        "baseCommissionPrecision": 8,
        "quoteCommissionPrecision": 8,
        "orderTypes": ["LIMIT", "LIMIT_MAKER", "MARKET"],
        "icebergAllowed": False,
        "ocoAllowed": False,
        "otoAllowed": False,
        "opoAllowed": False,
        "quoteOrderQtyMarketAllowed": True,
        "allowTrailingStop": False,
        "cancelReplaceAllowed": True,
        "amendAllowed": True,
        "pegInstructionsAllowed": False,
        "isSpotTradingAllowed": True,
        "isMarginTradingAllowed": False,
        "filters": _spot_filters(instrument, extras),
        "permissions": [],
        "permissionSets": [["SPOT"]],
        "defaultSelfTradePreventionMode": "EXPIRE_MAKER",
        "allowedSelfTradePreventionModes": _STP,
    }


def _sizes(instrument: Instrument, extras: Extras, places: int) -> list[dict[str, Any]]:
    most = instrument.lots_max or 900_000_000
    market_most = extras.market_lots_max or most
    rows: list[dict[str, Any]] = []
    for name, largest in (("LOT_SIZE", most), ("MARKET_LOT_SIZE", market_most)):
        step = Decimal(0) if name == "MARKET_LOT_SIZE" and places == 8 else instrument.lot
        rows.append(
            {
                "filterType": name,
                "minQty": fixed(instrument.size(instrument.lots_min), places),
                "maxQty": fixed(instrument.size(largest), places),
                "stepSize": fixed(step, places),
            }
        )
    return rows


def _spot_filters(instrument: Instrument, extras: Extras) -> list[dict[str, Any]]:
    highest = instrument.price_max or Decimal(1_000_000)
    lowest = instrument.price_min or instrument.tick
    band = extras.band or Decimal(4)
    up, down = plain(1 + band), plain(max(Decimal("0.2"), 1 - band))
    return [
        {
            "filterType": "PRICE_FILTER",
            "minPrice": fixed(lowest),
            "maxPrice": fixed(highest),
            "tickSize": fixed(instrument.tick),
        },
        *_sizes(instrument, extras, 8),
        {
            "filterType": "PERCENT_PRICE_BY_SIDE",
            "bidMultiplierUp": up,
            "bidMultiplierDown": down,
            "askMultiplierUp": up,
            "askMultiplierDown": down,
            "avgPriceMins": 5,
        },
        {
            "filterType": "NOTIONAL",
            "minNotional": fixed(instrument.notional_min),
            "applyMinToMarket": True,
            "maxNotional": "9000000.00000000",
            "applyMaxToMarket": False,
            "avgPriceMins": 5,
        },
        {"filterType": "MAX_NUM_ORDERS", "maxNumOrders": extras.orders_max},
        {"filterType": "MAX_NUM_ALGO_ORDERS", "maxNumAlgoOrders": 5},
    ]


def futures_symbol(row: Listing) -> dict[str, Any]:
    """A USD-M or COIN-M symbol; the precisions are deliberately not the steps."""
    instrument, extras = row.instrument, row.extras
    coinm = instrument.market == "coinm"
    status = futures_status(row)
    price_places = digits(instrument.tick) if coinm else max(2, digits(instrument.tick))
    maintenance = plain(extras.maintenance_rate * 100)
    return {
        "symbol": instrument.symbol,
        "pair": pair_of(instrument),
        "contractType": "CURRENT_QUARTER" if instrument.expiry else "PERPETUAL",
        "deliveryDate": delivery_ms(row),
        "onboardDate": extras.listed_ms,
        ("contractStatus" if coinm else "status"): status,
        **({"contractSize": int(instrument.contract_value)} if coinm else {}),
        "maintMarginPercent": maintenance,
        "requiredMarginPercent": "5.0000",
        "baseAsset": instrument.base,
        "quoteAsset": instrument.quote,
        "marginAsset": instrument.settle,
        "pricePrecision": price_places,
        "quantityPrecision": digits(instrument.lot),
        "baseAssetPrecision": 8,
        "quotePrecision": 8,
        **({"equalQtyPrecision": 4} if coinm else {}),
        "underlyingType": "COIN",
        "underlyingSubType": [],
        "triggerProtect": "0.0500",
        "liquidationFee": "0.012500",
        "marketTakeBound": plain(extras.market_bound),
        "maxMoveOrderLimit": 10_000,
        "filters": _futures_filters(instrument, extras),
        "orderTypes": ["LIMIT", "MARKET"],
        "timeInForce": ["GTC", "IOC", "FOK", "GTX"],
    }


def _futures_filters(instrument: Instrument, extras: Extras) -> list[dict[str, Any]]:
    highest = instrument.price_max or Decimal(1_000_000)
    lowest = instrument.price_min or instrument.tick
    places = (
        max(2, digits(instrument.tick))
        if instrument.market == "usdm"
        else (digits(instrument.tick))
    )
    band = extras.band or Decimal("0.5")
    filters: list[dict[str, Any]] = [
        {
            "filterType": "PRICE_FILTER",
            "minPrice": fixed(lowest, places),
            "maxPrice": fixed(highest, places),
            "tickSize": fixed(instrument.tick, places),
        },
        *_sizes(instrument, extras, digits(instrument.lot)),
        {"filterType": "MAX_NUM_ORDERS", "limit": extras.orders_max},
    ]
    if instrument.market == "usdm":
        filters.append({"filterType": "MIN_NOTIONAL", "notional": plain(instrument.notional_min)})
    filters.append(
        {
            "filterType": "PERCENT_PRICE",
            "multiplierUp": fixed(1 + band, 4),
            "multiplierDown": fixed(1 - band, 4),
            "multiplierDecimal": "4",
        }
    )
    return filters
