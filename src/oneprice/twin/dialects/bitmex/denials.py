"""From the exchange's neutral words of refusal to the venue's status and message (section 14)."""

from oneprice.twin.contract import Refusal
from oneprice.twin.dialects.bitmex.envelope import Failure

OVERLOADED = "The system is currently overloaded. Please try again later."
SHORT = "Account has insufficient Available Balance, {} {} required"

_WORDS: dict[str, tuple[int, str]] = {
    "no_such_instrument": (400, "Invalid symbol"),
    "not_tradable": (400, "Instrument expired"),
    "no_such_account": (401, "Invalid API Key."),
    "no_such_order": (400, "Invalid orderID"),
    "order_closed": (400, "Invalid ordStatus"),
    "duplicate_id": (400, "Duplicate clOrdID"),
    "bad_size": (400, "orderQty is invalid"),
    "too_small": (400, "orderQty is invalid"),
    "too_large": (400, "orderQty is invalid"),
    "min_notional": (400, "orderQty is invalid"),
    "bad_price": (400, "Invalid price"),
    "price_band": (400, "Invalid price"),
    "insufficient_funds": (400, "Account has insufficient Available Balance"),
    "insufficient_margin": (400, "Account has insufficient Available Balance"),
    "no_liquidity": (400, "Order had ordType of Market"),
    "position_mode": (400, "Invalid strategy"),
    "self_trade": (400, "Invalid order"),
    "too_many_orders": (400, "Too many open orders"),
    "nothing_changed": (400, "Invalid amend: orderQty, leavesQty, price, stopPx unchanged"),
    "below_filled": (400, "orderQty is invalid"),
    "leverage": (400, "Invalid leverage"),
    "bad_request": (400, "Invalid request"),
    "mode_unchanged": (400, "Margin mode is unchanged"),
    "mode_blocked": (400, "Margin mode cannot change while there are orders or a position"),
    "margin_mode": (400, "Position is not isolated"),
    "risk_limit": (400, "Value of position and orders exceeds position Risk Limit"),
    "no_position": (400, "No position"),
    "venue_busy": (503, OVERLOADED),
    # these the venue answers with a cancelled order instead; here for completeness
    "reduce_only": (400, "Order had execInst of ReduceOnly"),
    "would_take": (400, "Order had execInst of ParticipateDoNotInitiate"),
    "not_fillable": (400, "Order had timeInForce of FillOrKill"),
}


def failure(refusal: Refusal) -> Failure:
    """The venue's answer; an unforeseen word is a server error, never a success."""
    status, text = _WORDS.get(refusal.word, (500, "Server Error"))
    return Failure(status, text)
