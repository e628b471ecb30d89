"""Instrument rows of /v5/market/instruments-info (section 4.1)."""

from oneprice.model.units import MILLI, plain
from oneprice.twin.dialects.bybit.envelope import Row, fixed
from oneprice.twin.dialects.bybit.facts import Sheet
from oneprice.twin.dialects.bybit.fields import Fields
from oneprice.twin.dialects.bybit.paging import page

STATUSES = ("PreLaunch", "Trading", "Delivering", "Closed", "PendingOpen")
LARGEST_LOTS = 10_000_000  # where neither instrument nor extras name a limit


def listing(category: str, sheets: list[Sheet], fields: Fields) -> Row:
    """The `result` of instruments-info as `sheets` stand now; spot knows no pages."""
    wanted = fields.choice("status", STATUSES, "Trading")
    chosen = [
        sheet
        for sheet in sheets
        if _status(sheet) == wanted
        and fields.text("symbol", sheet.symbol) == sheet.symbol
        and (sheet.spot or fields.text("baseCoin", sheet.instrument.base) == sheet.instrument.base)
    ]
    if category == "spot":
        return {"category": category, "list": [spot_row(sheet) for sheet in chosen]}
    chosen.sort(key=lambda sheet: sheet.symbol)
    numbered = [(len(chosen) - index, sheet) for index, sheet in enumerate(chosen)]
    shown, cursor = page(numbered, fields, 500, 1000)
    rows = [contract_row(sheet) for sheet in shown]
    return {"category": category, "list": rows, "nextPageCursor": cursor}


def _status(sheet: Sheet) -> str:
    if not sheet.instrument.tradable or sheet.listing.status == "delisted":
        return "Closed"
    return "Delivering" if sheet.listing.status == "settling" else "Trading"


def _delivery_ms(sheet: Sheet) -> int:
    """Of a perpetual 0, or when it will be or was delisted."""
    if sheet.listing.delisting_at:
        return sheet.listing.delisting_at // MILLI
    if sheet.listing.status in ("settling", "delisted"):
        return sheet.listing.changed_at // MILLI
    return sheet.instrument.expiry // MILLI


def contract_row(sheet: Sheet) -> Row:
    """A linear or inverse contract."""
    instrument, extras = sheet.instrument, sheet.extras
    dated = bool(instrument.expiry)
    kind = "Inverse" if sheet.inverse else "Linear"
    price_max = instrument.price_max or instrument.tick * 19_999_998
    largest = plain_size(sheet, int(instrument.lots_max) or LARGEST_LOTS)
    market = extras.market_lots_max or int(instrument.lots_max) or LARGEST_LOTS
    return {
        "symbol": sheet.symbol,
        "symbolId": sheet.facts.symbol_id,
        "contractType": f"{kind}{'Futures' if dated else 'Perpetual'}",
        "status": _status(sheet),
        "baseCoin": instrument.base,
        "quoteCoin": instrument.quote,
        "settleCoin": instrument.settle,
        "launchTime": str(extras.listed_ms),
        "deliveryTime": str(_delivery_ms(sheet)),
        "deliveryFeeRate": "0.0005" if dated else "",
        "priceScale": str(sheet.facts.price_scale),
        "leverageFilter": {
            "minLeverage": "1",
            "maxLeverage": f"{extras.leverage_max:.2f}",
            "leverageStep": "0.01",
        },
        "priceFilter": {
            "minPrice": sheet.quoted(instrument.price_min or instrument.tick),
            "maxPrice": sheet.quoted(price_max),
            "tickSize": sheet.quoted(instrument.tick),
        },
        "lotSizeFilter": {
            "maxOrderQty": largest,
            "minOrderQty": plain_size(sheet, int(instrument.lots_min)),
            "qtyStep": fixed(instrument.lot, instrument.lot),
            "postOnlyMaxOrderQty": largest,
            "maxMktOrderQty": plain_size(sheet, market),
            "minNotionalValue": plain(instrument.notional_min),
        },
        "unifiedMarginTrade": True,
        "fundingInterval": instrument.funding_interval_ms // 60_000,
        "copyTrading": "none" if sheet.inverse else "both",
        "upperFundingRate": plain(extras.funding_cap),
        "lowerFundingRate": plain(-extras.funding_cap),
        "isPreListing": False,
        "preListingInfo": None,
        "riskParameters": _risk(sheet),
        "displayName": "",
        "symbolType": "",
        "forbidUplWithdrawal": False,
    }


def spot_row(sheet: Sheet) -> Row:
    """A spot pair: the quantity step is called `basePrecision` here."""
    instrument = sheet.instrument
    lots_max = int(instrument.lots_max) or LARGEST_LOTS
    market = sheet.extras.market_lots_max or lots_max
    return {
        "symbol": sheet.symbol,
        "symbolId": sheet.facts.symbol_id,
        "baseCoin": instrument.base,
        "quoteCoin": instrument.quote,
        "innovation": "0",
        "status": _status(sheet),
        "marginTrading": "none",
        "stTag": "0",
        "lotSizeFilter": {
            "basePrecision": plain(instrument.lot),
            "quotePrecision": sheet.facts.quote_step,
            "minOrderQty": sheet.count(int(instrument.lots_min)),
            "maxOrderQty": sheet.count(lots_max),
            "minOrderAmt": plain(instrument.notional_min),
            "maxOrderAmt": "8000000",
            "maxLimitOrderQty": sheet.count(lots_max),
            "maxMarketOrderQty": sheet.count(market),
            "postOnlyMaxLimitOrderSize": sheet.count(lots_max),
        },
        "priceFilter": {"tickSize": plain(instrument.tick)},
        "riskParameters": _risk(sheet),
        "symbolType": "",
        "xstockMultiplier": "1",
    }


def plain_size(sheet: Sheet, lots: int) -> str:
    return fixed(sheet.instrument.size(lots), sheet.instrument.lot)


def _risk(sheet: Sheet) -> Row:
    facts = sheet.facts
    return {"priceLimitRatioX": facts.ratio_x, "priceLimitRatioY": facts.ratio_y}
