"""Instruments as rows of public/instruments and of the `instruments` channel."""

from oneprice.model.units import plain
from oneprice.twin.contract import Listing
from oneprice.twin.dialects.okx.envelope import Row, stamp
from oneprice.twin.dialects.okx.facts import Sheet

# Statuses of the exchange in the venue's words; "expired" is told by the channel alone.
STATES = {"trading": "live", "paused": "suspend", "settling": "settling", "delisted": "expired"}
SPOT_MARKET_MOST = 1_000_000  # maxMktSz of spot, in USDT
GROUPS = {"SPOT": "1", "SWAP": "4", "FUTURES": "5"}  # fee groups, join with trade-fee


def instrument_row(sheet: Sheet, listing: Listing) -> Row:
    """Section 5; fields that do not concern the type are empty."""
    grid, extras = sheet.instrument, listing.extras
    spot = sheet.spot
    band = plain(extras.band) if extras.band else "0.05"
    most = grid.size_text(grid.lots_max) if grid.lots_max else "999999999999"
    market_most = grid.size_text(extras.market_lots_max) if extras.market_lots_max else most
    return {
        "instType": sheet.inst_type,
        "instId": sheet.inst_id,
        "instIdCode": sheet.code,
        "uly": sheet.family,
        "instFamily": sheet.family,
        "category": "1",
        "baseCcy": grid.base if spot else "",
        "quoteCcy": grid.quote if spot else "",
        "settleCcy": "" if spot else grid.settle,
        "ctVal": "" if spot else plain(grid.contract_value),
        "ctMult": "" if spot else "1",
        "ctValCcy": "" if spot else grid.quote if sheet.inverse else grid.base,
        "ctType": "" if spot else "inverse" if sheet.inverse else "linear",
        "optType": "",
        "stk": "",
        "tickSz": plain(grid.tick),
        "lotSz": plain(grid.lot),
        "minSz": grid.size_text(grid.lots_min),
        "maxLmtSz": most,
        "maxMktSz": str(SPOT_MARKET_MOST) if spot else market_most,
        "maxLmtAmt": "20000000",
        "maxMktAmt": str(SPOT_MARKET_MOST) if spot else "",
        "maxTwapSz": most,
        "maxIcebergSz": most,
        "maxTriggerSz": most,
        "maxStopSz": market_most,
        "lever": "10" if spot else plain(extras.leverage_max),
        "listTime": str(extras.listed_ms),
        "expTime": stamp(listing.delisting_at or grid.expiry),
        "contTdSwTime": "",
        "preMktSwTime": "",
        "openType": "",
        "auctionEndTime": "",
        "alias": "",
        "state": STATES.get(listing.status, "suspend"),
        "ruleType": "normal",
        "groupId": GROUPS.get(sheet.inst_type, "1"),
        "instCategory": "1",
        "futureSettlement": False,
        "tradeQuoteCcyList": [grid.quote] if spot else [],
        "upcChg": [],
        "initPxLmtPct": band,
        "floatPxLmtPct": band,
        "maxPxLmtPct": band,
        "posLmtAmt": "",
        "posLmtPct": "",
        "maxPlatOILmt": "",
    }
