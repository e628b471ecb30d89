"""Every way Binance says no: code, text and HTTP status."""

from typing import Any


class Denied(Exception):
    """A refusal as it goes over the wire; `retry_at_ms` is 0 unless the venue names a moment.

    Codes and texts: Binance "Error Codes" of the spot and the USD-M futures API.
    """

    def __init__(
        self,
        code: int,
        text: str,
        status: int = 400,
        data: dict[str, Any] | None = None,
        retry_at_ms: int = 0,
    ) -> None:
        super().__init__(f"{code} {text}")
        self.code = code
        self.text = text
        self.status = status
        self.data = data
        self.retry_at_ms = retry_at_ms

    def body(self) -> dict[str, Any]:
        """The JSON body of the REST answer."""
        return {"code": self.code, "msg": self.text} | ({"data": self.data} if self.data else {})


class Page(Exception):
    """An answer that is not JSON at all: gone endpoints and firewalls speak HTML."""

    def __init__(self, status: int, html: str) -> None:
        super().__init__(f"HTTP {status}")
        self.status = status
        self.html = html


def gone() -> Page:
    """Spot listen keys were removed on 2026-02-20; a web server answers in their place."""
    return Page(
        410,
        "<html>\r\n<head><title>410 Gone</title></head>\r\n<body>\r\n"
        "<center><h1>410 Gone</h1></center>\r\n<hr><center>nginx</center>\r\n"
        "</body>\r\n</html>\r\n",
    )


def missing(name: str) -> Denied:
    return Denied(
        -1102,
        f"Mandatory parameter '{name}' was not sent, was empty/null, or malformed.",
    )


def either(first: str, second: str) -> Denied:
    return Denied(
        -1102,
        f"Param '{first}' or '{second}' must be sent, but both were empty/null!",
    )


def malformed(name: str, rule: str) -> Denied:
    return Denied(
        -1100,
        f"Illegal characters found in parameter '{name}'; legal range is '{rule}'.",
    )


def bad_value(name: str) -> Denied:
    return Denied(-1130, f"Data sent for parameter '{name}' is not valid.")


def key_format() -> Denied:
    return Denied(-2014, "API-key format invalid.", status=401)


def key_unknown() -> Denied:
    return Denied(-2015, "Invalid API-key, IP, or permissions for action.", status=401)


def signature() -> Denied:
    return Denied(-1022, "Signature for this request is not valid.")


def stale() -> Denied:
    return Denied(-1021, "Timestamp for this request is outside of the recvWindow.")


def early() -> Denied:
    return Denied(-1021, "Timestamp for this request was 1000ms ahead of the server's time.")


def symbol() -> Denied:
    return Denied(-1121, "Invalid symbol.")


def precision() -> Denied:
    return Denied(-1111, "Precision is over the maximum defined for this asset.")


def no_order() -> Denied:
    return Denied(-2013, "Order does not exist.")


def no_order_to_cancel() -> Denied:
    return Denied(-2011, "Unknown order sent.")


def filter_failure(name: str) -> Denied:
    return Denied(-1013, f"Filter failure: {name}")


def unknown_execution(product: str) -> Denied:
    """Nobody knows what became of it: spot times out, futures answers 503."""
    if product == "spot":
        return Denied(
            -1007,
            "Timeout waiting for response from backend server. "
            "Send status unknown; execution status unknown.",
            status=408,
        )
    return Denied(
        -1000, "Unknown error, please check your request or try again later.", status=503
    )


def internal_error() -> Denied:
    """The request failed inside the venue and certainly did nothing."""
    return Denied(
        -1001, "Internal error; unable to process your request. Please try again.", status=503
    )


# The inner exchange's words -> spot. Filters answer -1013, the engine -2010.
_SPOT: dict[str, tuple[int, str]] = {
    "no_such_instrument": (-1121, "Invalid symbol."),
    "not_tradable": (-2010, "Market is closed."),
    "no_such_account": (-2015, "Invalid API-key, IP, or permissions for action."),
    "no_such_order": (-2013, "Order does not exist."),
    "order_closed": (-2011, "Unknown order sent."),
    "duplicate_id": (-2010, "Duplicate order sent."),
    "bad_size": (-1013, "Filter failure: LOT_SIZE"),
    "too_small": (-1013, "Filter failure: LOT_SIZE"),
    "too_large": (-1013, "Filter failure: LOT_SIZE"),
    "min_notional": (-1013, "Filter failure: NOTIONAL"),
    "bad_price": (-1013, "Filter failure: PRICE_FILTER"),
    "price_band": (-1013, "Filter failure: PERCENT_PRICE_BY_SIDE"),
    "insufficient_funds": (-2010, "Account has insufficient balance for requested action."),
    "insufficient_margin": (-2010, "Account has insufficient balance for requested action."),
    "would_take": (-2010, "Order would immediately match and take."),
    "not_fillable": (-2010, "Order book liquidity is less than symbol minimum quantity."),
    "no_liquidity": (-2010, "Order book liquidity is less than symbol minimum quantity."),
    "too_many_orders": (-1013, "Filter failure: MAX_NUM_ORDERS"),
    "self_trade": (-2010, "This order would trigger self trade prevention."),
    "reduce_only": (-1106, "Parameter 'reduceOnly' sent when not required."),
}

_FUTURES: dict[str, tuple[int, str]] = {
    "no_such_instrument": (-1121, "Invalid symbol."),
    "not_tradable": (-4141, "Symbol is closed."),
    "no_such_account": (-2015, "Invalid API-key, IP, or permissions for action."),
    "no_such_order": (-2013, "Order does not exist."),
    "order_closed": (-2011, "Unknown order sent."),
    "duplicate_id": (-4116, "ClientOrderId is duplicated."),
    "bad_size": (-4003, "Quantity less than or equal to zero."),
    "too_small": (-4004, "Quantity less than min quantity."),
    "too_large": (-4005, "Quantity greater than max quantity."),
    "min_notional": (
        -4164,
        "Order's notional must be no smaller than {notional_min} (unless you choose reduce only).",
    ),
    "bad_price": (-4014, "Price not increased by tick size."),
    "price_band": (-4131, "The counterparty's best price does not meet the PERCENT_PRICE filter."),
    "price_high": (-4016, "Limit price can't be higher than {limit}."),
    "price_low": (-4024, "Limit price can't be lower than {limit}."),
    "insufficient_funds": (-2019, "Margin is insufficient."),
    "insufficient_margin": (-2019, "Margin is insufficient."),
    "would_take": (
        -5022,
        "Due to the order could not be executed as maker, the Post Only order will be rejected.",
    ),
    "not_fillable": (
        -5021,
        "Due to the order could not be filled immediately, the FOK order has been rejected.",
    ),
    "no_liquidity": (-2020, "Unable to fill."),
    "too_many_orders": (-2025, "Reach max open order limit."),
    "reduce_only": (-2022, "ReduceOnly Order is rejected."),
    "position_mode": (-4061, "Order's position side does not match user's setting."),
    "leverage": (-2027, "Exceeded the maximum allowable position at current leverage."),
    "nothing_changed": (-5027, "No need to modify the order."),
    "risk_limit": (-2027, "Exceeded the maximum allowable position at current leverage."),
    "margin no_position": (-4051, "Isolated balance insufficient."),
    "margin margin_mode": (-4050, "Cross balance insufficient."),
    "margin insufficient_margin": (-4051, "Isolated balance insufficient."),
    "mode_unchanged": (-4059, "No need to change position side."),
    "mode_blocked": (-4068, "Position side cannot be changed if there exists position."),
}


def translated(product: str, word: str, facts: dict[str, str] | None = None) -> Denied:
    """The venue's refusal for a word of the inner exchange."""
    if word == "venue_busy":
        text = "Server is currently overloaded with other requests."
        return Denied(-1008, f"{text} Please try again in a few minutes.", status=503)
    table = _SPOT if product == "spot" else _FUTURES
    code, text = table.get(word, (-2010, f"Order was rejected: {word}."))
    return Denied(code, text.format_map(facts or {}) if "{" in text else text)
