"""From the exchange's neutral words of refusal to this venue's codes and texts (section 10)."""

from oneprice.model.units import Side
from oneprice.twin.contract import Refusal
from oneprice.twin.dialects.bybit.envelope import BAD_PARAMETER, SERVER_ERROR, Failure

DERIVATIVES: dict[str, tuple[int, str]] = {
    "no_such_instrument": (BAD_PARAMETER, "params error: symbol invalid"),
    "not_tradable": (110074, "This contract is not live"),
    "no_such_account": (10003, "API key is invalid."),
    "no_such_order": (110001, "order not exists or too late to cancel"),
    "order_closed": (110001, "order not exists or too late to cancel"),
    "duplicate_id": (110072, "OrderLinkedID is duplicate"),
    "bad_size": (BAD_PARAMETER, "Qty invalid"),
    "too_small": (BAD_PARAMETER, "The number of contracts exceeds minimum limit allowed"),
    "too_large": (BAD_PARAMETER, "The number of contracts exceeds maximum limit allowed"),
    "min_notional": (110094, "Order does not meet minimum order value"),
    "bad_price": (110003, "Order price exceeds the allowable range."),
    "price_band": (110003, "Order price exceeds the allowable range."),
    "insufficient_funds": (110007, "ab not enough for new order"),
    "insufficient_margin": (110007, "ab not enough for new order"),
    "no_liquidity": (110118, "No market price due to low liquidity"),
    "reduce_only": (110017, "current position is zero, cannot fix reduce-only order qty"),
    "position_mode": (BAD_PARAMETER, "position idx not match position mode"),
    "self_trade": (110032, "Illegal order"),
    "too_many_orders": (110020, "Not allowed to have more than 500 active orders"),
    "nothing_changed": (BAD_PARAMETER, "order not modified"),
    "below_filled": (110064, "The modified order quantity is not larger than the filled one"),
    "leverage": (110013, "Cannot set leverage due to risk limit level"),
    "bad_request": (BAD_PARAMETER, "Request parameter error"),
    "venue_busy": (SERVER_ERROR, "Server error."),
    "risk_limit": (110090, "Order qty exceeded position max limit"),
    "margin_mode": (110026, "Cross/isolated margin mode is not modified"),
    "no_position": (110032, "Illegal order"),
    "mode_unchanged": (110025, "Position mode is not modified"),
    "mode_blocked": (110024, "You have an existing position, so position mode cannot be switched"),
}
SPOT: dict[str, tuple[int, str]] = DERIVATIVES | {
    "no_such_instrument": (170121, "Invalid symbol."),
    "not_tradable": (170151, "This trading pair is not available at the moment."),
    "no_such_order": (170213, "Order does not exist."),
    "order_closed": (170213, "Order does not exist."),
    "duplicate_id": (170141, "Duplicate clientOrderId"),
    "bad_size": (170130, "Data sent for parameter 'qty' is not valid."),
    "too_small": (170136, "Order quantity has a lower limit."),
    "too_large": (170124, "Order amount too large."),
    "min_notional": (170140, "Order value exceeded lower limit."),
    "bad_price": (170130, "Data sent for parameter 'price' is not valid."),
    "price_band": (170130, "Data sent for parameter 'price' is not valid."),
    "insufficient_funds": (170131, "Insufficient balance."),
    "insufficient_margin": (170033, "margin Insufficient account balance"),
    "no_liquidity": (170210, "New order rejected."),
    "self_trade": (170210, "New order rejected."),
    "too_many_orders": (170810, "Cannot exceed maximum of 500 active spot orders."),
    "below_filled": (170313, "Cannot modify order: quantity is not larger than the filled one."),
}


def failure(refusal: Refusal, category: str) -> Failure:
    """The venue's answer to a refusal; an unforeseen word is a server error, never a success."""
    table = SPOT if category == "spot" else DERIVATIVES
    code, text = table.get(refusal.word, (SERVER_ERROR, "Internal server error."))
    return Failure(code, text)


def out_of_band(category: str, side: Side, limit: str) -> Failure:
    """A limit price beyond the allowed one, where the account asked for refusal."""
    if category == "spot":
        if side is Side.BUY:
            return Failure(170193, f"Buy order price cannot be higher than {limit}.")
        return Failure(170194, f"Sell order price cannot be lower than {limit}.")
    if side is Side.BUY:
        return Failure(30208, f"Order price is higher than the maximum buying price {limit}.")
    return Failure(30209, f"Order price is lower than the minimum selling price {limit}.")


def off_grid(category: str, field: str) -> Failure:
    """A price or size with more decimals than the instrument has."""
    if category != "spot":
        return Failure(BAD_PARAMETER, f"params error: {field} invalid")
    if field == "price":
        return Failure(170134, "Order price has too many decimals.")
    return Failure(170137, "Order quantity has too many decimals.")


def bad_word(category: str, field: str, found: str) -> Failure:
    """An order type, side or time in force that does not exist."""
    code, text = {
        "timeInForce": (170115, "Invalid timeInForce."),
        "orderType": (170116, "Invalid orderType."),
        "side": (170117, "Invalid side."),
    }.get(field, (170130, f"Data sent for parameter '{field}' is not valid."))
    if category == "spot":
        return Failure(code, text)
    return Failure(BAD_PARAMETER, f"params error: {field} invalid: {found!r}")
