"""Why Binance refuses an order call: what is sent, and the code and text that answer it.

A factor in place of a price (`"@0.97"`) is a multiple of the best bid. The same list is put
through every client; each has its own exceptions.
"""

from typing import Any, NamedTuple


class Reason(NamedTuple):
    """`verb`: place, cancel, query, amend, leverage or mode. `customer`: who asks."""

    verb: str
    params: dict[str, Any]
    code: int
    text: str
    customer: str = ""
    status: int = 400


LIMIT = {"side": "BUY", "type": "LIMIT", "timeInForce": "GTC", "quantity": "0.01"}
SPOT_LIMIT = {**LIMIT, "symbol": "BTCUSDT", "price": "@0.97"}
USDM_LIMIT = {**LIMIT, "symbol": "BTCUSDT", "price": "@0.97"}
COINM_LIMIT = {**LIMIT, "symbol": "BTCUSD_PERP", "price": "@0.97", "quantity": "5"}


def spot(code: int, text: str, **changes: Any) -> Reason:
    return Reason("place", {**SPOT_LIMIT, **changes}, code, text)


def usdm(code: int, text: str, **changes: Any) -> Reason:
    return Reason("place", {**USDM_LIMIT, **changes}, code, text)


def coinm(code: int, text: str, **changes: Any) -> Reason:
    return Reason("place", {**COINM_LIMIT, **changes}, code, text)


SPOT: dict[str, Reason] = {
    "insufficient balance": spot(-2010, "insufficient balance", quantity="50"),
    "sale of more than is held": spot(
        -2010, "insufficient balance", side="SELL", quantity="9", price="@1.03"
    ),
    "below the minimum value": spot(-1013, "Filter failure: NOTIONAL", quantity="0.00002"),
    "above the maximum size": spot(-1013, "Filter failure: LOT_SIZE", quantity="10000"),
    "nothing": spot(-1013, "Invalid quantity", quantity="0"),
    "price off the tick": spot(-1013, "Filter failure: PRICE_FILTER", price="50000.005"),
    "size off the step": spot(-1013, "Filter failure: LOT_SIZE", quantity="0.010005"),
    "more than eight places": spot(-1111, "Precision is over", quantity="0.0100000005"),
    "unknown symbol": spot(-1121, "Invalid symbol", symbol="NOUSDT"),
    "post-only would take": Reason(
        "place",
        {
            "symbol": "BTCUSDT",
            "side": "BUY",
            "type": "LIMIT_MAKER",
            "quantity": "0.01",
            "price": "@1.01",
        },
        -2010,
        "immediately match and take",
    ),
    "price above the band": spot(-1013, "PERCENT_PRICE_BY_SIDE", price="@1.7"),
    "price below the band": spot(-1013, "PERCENT_PRICE_BY_SIDE", side="SELL", price="@0.3"),
    "unknown order type": spot(-1116, "Invalid orderType", type="MARKET_MAKER"),
    "unknown side": spot(-1117, "Invalid side", side="LONG"),
    "unknown time in force": spot(-1115, "Invalid timeInForce", timeInForce="GTX"),
    "client id with a dot": spot(-1100, "newClientOrderId", newClientOrderId="a.b"),
    "cancel of nothing": Reason(
        "cancel",
        {"symbol": "BTCUSDT", "origClientOrderId": "never-was"},
        -2011,
        "Unknown order sent",
    ),
    "query of nothing": Reason(
        "query", {"symbol": "BTCUSDT", "origClientOrderId": "never-was"}, -2013, "does not exist"
    ),
    "cancel without a name": Reason(
        "cancel", {"symbol": "BTCUSDT"}, -1102, "must be sent, but both were empty"
    ),
    "empty pockets": spot(-2010, "insufficient balance")._replace(customer="poor"),
    "key that may only read": spot(-2015, "Invalid API-key")._replace(
        customer="reader", status=401
    ),
    "unknown key": spot(-2015, "Invalid API-key")._replace(customer="nobody", status=401),
    "wrong signature": spot(-1022, "Signature")._replace(customer="forger"),
}

_FUTURES: dict[str, tuple[int, str, dict[str, Any]]] = {
    "price off the precision": (-1111, "Precision is over", {"price": "50000.0005"}),
    "nothing": (-4003, "less than or equal to zero", {"quantity": "0"}),
    "unknown symbol": (-1121, "Invalid symbol", {"symbol": "NOUSDT"}),
    "reduce-only while flat": (-2022, "ReduceOnly", {"reduceOnly": "true"}),
    "post-only would take": (-5022, "Post Only", {"timeInForce": "GTX", "price": "@1.01"}),
    "fill or kill that cannot": (-5021, "FOK", {"timeInForce": "FOK"}),
    "price above the cap": (-4016, "can't be higher", {"price": "@1.4"}),
    "price below the floor": (-4024, "can't be lower", {"side": "SELL", "price": "@0.6"}),
    "hedge side in one-way mode": (-4061, "position side", {"positionSide": "LONG"}),
    "unknown order type": (-1116, "Invalid orderType", {"type": "ICEBERG"}),
    "unknown side": (-1117, "Invalid side", {"side": "LONG"}),
    "unknown time in force": (-1115, "Invalid timeInForce", {"timeInForce": "DAY"}),
    "conditional order": (-4120, "Algo Order API", {"type": "STOP_MARKET"}),
    "client id with a tilde": (-1100, "newClientOrderId", {"newClientOrderId": "a~b"}),
    "client id too long": (-4015, "less than 36", {"newClientOrderId": "x" * 37}),
}


def _shared(limit: dict[str, Any]) -> dict[str, Reason]:
    symbol = limit["symbol"]
    never = {"symbol": symbol, "origClientOrderId": "never-was"}
    return {
        **{
            name: Reason("place", {**limit, **changes}, code, text)
            for name, (code, text, changes) in _FUTURES.items()
        },
        "cancel of nothing": Reason("cancel", never, -2011, "Unknown order sent"),
        "query of nothing": Reason("query", never, -2013, "does not exist"),
        "amend of nothing": Reason(
            "amend",
            {**never, "side": "BUY", "quantity": limit["quantity"], "price": "@0.97"},
            -2013,
            "does not exist",
        ),
        "leverage beyond the tier": Reason(
            "leverage", {"symbol": symbol, "leverage": 500}, -4028, "Leverage"
        ),
        "mode that is set already": Reason(
            "mode", {"dualSidePosition": "false"}, -4059, "No need to change"
        ),
        "empty pockets": Reason("place", limit, -2019, "Margin is insufficient", "poor"),
        "key that may only read": Reason(
            "place", limit, -2015, "Invalid API-key", "reader", 401
        ),
        "unknown key": Reason("place", limit, -2015, "Invalid API-key", "nobody", 401),
        "wrong signature": Reason("place", limit, -1022, "Signature", "forger"),
    }


USDM: dict[str, Reason] = {
    **_shared(USDM_LIMIT),
    "insufficient margin": usdm(-2019, "Margin is insufficient", quantity="900"),
    "below the minimum value": usdm(-4164, "notional must be no smaller", quantity="0.001"),
    "above the maximum size": usdm(-4005, "greater than max", quantity="1001"),
    "price off the tick": usdm(-4014, "tick size", price="50000.05"),
    "size off the step": usdm(-1111, "Precision is over", quantity="0.0105"),
}
COINM: dict[str, Reason] = {
    **_shared(COINM_LIMIT),
    "insufficient margin": coinm(-2019, "Margin is insufficient", quantity="500000"),
    "above the maximum size": coinm(-4005, "greater than max", quantity="1000001"),
    "price off the tick": coinm(-4014, "tick size", price="50000.05"),
    "size off the step": coinm(-1111, "Precision is over", quantity="5.5"),
}
REASONS: dict[str, dict[str, Reason]] = {"spot": SPOT, "usdm": USDM, "coinm": COINM}
CASES: list[tuple[str, str]] = [
    (product, name) for product, found in REASONS.items() for name in found
]


def filled_in(reason: Reason, product: str, venue: Any) -> dict[str, Any]:
    """The parameters with prices in place of factors."""
    return {
        name: venue.price(product, value[1:])
        if isinstance(value, str) and value.startswith("@")
        else value
        for name, value in reason.params.items()
    }


def login(reason: Reason, usual: str, venue: Any) -> tuple[str, str]:
    """Key and secret of the customer of a reason; `usual` where it names none."""
    match reason.customer or usual:
        case "nobody":
            return "n" * 64, "x"
        case "forger":
            return venue.customers[usual].key, "x"
        case name:
            return venue.customers[name].key, venue.customers[name].secret
