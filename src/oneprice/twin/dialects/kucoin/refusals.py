"""From the exchange's neutral words of refusal to this venue's codes and texts (section 11)."""

from oneprice.model.units import Side
from oneprice.twin.contract import Refusal
from oneprice.twin.dialects.kucoin.envelope import BAD_PARAMETER, SERVER_ERROR, TOO_MANY, Failure

SPOT: dict[str, tuple[str, str]] = {
    "no_such_instrument": (BAD_PARAMETER, "Unsupported trading pair."),
    "not_tradable": ("400600", "validation.createOrder.symbolNotAvailable"),
    "no_such_account": ("400003", "KC-API-KEY not exists"),
    "no_such_order": (BAD_PARAMETER, "order_not_exist_or_not_allow_to_cancel"),
    "order_closed": (BAD_PARAMETER, "order_not_exist_or_not_allow_to_cancel"),
    "duplicate_id": (BAD_PARAMETER, "validation.createOrder.clientOidDuplicated"),
    "bad_size": ("600100", "Order size increment invalid."),
    "too_small": (BAD_PARAMETER, "Order size below the minimum requirement."),
    "too_large": (BAD_PARAMETER, "Order size above the maximum requirement."),
    "min_notional": ("600101", "The order funds should more then {notional} {quote}."),
    "bad_price": (BAD_PARAMETER, "Price increment invalid."),
    "price_band": ("400370", "Max. price: {limit}"),
    "insufficient_funds": ("200004", "Balance insufficient!"),
    "insufficient_margin": ("200004", "Balance insufficient!"),
    "no_liquidity": ("400200", "Forbidden to place an order"),
    "too_many_orders": ("200009", "The number of active orders exceeds the limit."),
    "below_filled": (BAD_PARAMETER, "newSize must exceed the filled size."),
    "nothing_changed": (BAD_PARAMETER, "Neither price nor size is changed."),
    "venue_busy": (TOO_MANY, "System-level rate limit exceeded"),
    "bad_request": (BAD_PARAMETER, "Parameter error"),
}
FUTURES: dict[str, tuple[str, str]] = {
    "no_such_instrument": ("200003", "symbol not exists"),
    "not_tradable": ("300002", "Placing and cancelling orders is suspended for this contract."),
    "no_such_account": ("400003", "KC-API-KEY not exists"),
    "no_such_order": ("100004", "The order cannot be canceled."),
    "order_closed": ("100004", "The order cannot be canceled."),
    "duplicate_id": ("300018", "clientOid parameter repeated"),
    "bad_size": ("300000", "Quantity parameter invalid."),
    "too_small": ("300000", "Quantity parameter is below the minimum."),
    "too_large": ("300000", "Quantity parameter cannot exceed {lots}."),
    "min_notional": ("300000", "Quantity parameter is below the minimum."),
    "bad_price": ("300000", "Price parameter invalid."),
    "price_band": ("300011", "Price worse than the limit of {limit}."),
    "insufficient_funds": ("300003", "Balance insufficient."),
    "insufficient_margin": ("300003", "Balance insufficient."),
    "no_liquidity": ("300008", "No contra order exists: market order is rejected."),
    "reduce_only": ("300009", "No open positions to close."),
    "position_mode": (
        "330012",
        "Your order is in {order} Mode, while your account is set to {account} Mode. "
        "Update your settings so they match and try again.",
    ),
    "too_many_orders": ("300001", "Active order quantity limit exceeded."),
    "leverage": ("300016", "The leverage cannot be greater than {leverage}."),
    "margin_mode": (
        "330005",
        "The order's margin mode does not match the selected one. Please switch and try again.",
    ),
    "risk_limit": ("300005", "Risk limit exceeded."),
    "no_position": ("300009", "No open positions to close."),
    "venue_busy": ("300015", "Settlement in progress. Please try again later."),
    "self_trade": ("300000", "stp parameter invalid."),
    "bad_request": ("100001", "Invalid parameter."),
    "nothing_changed": ("100001", "Nothing to change."),
    # The document names no code for this one; the batch call for margin modes shows it.
    "mode_blocked": ("50002", "exist.order.or.position"),
}
UNKNOWN_ORDER = {
    True: (BAD_PARAMETER, "The order does not exist."),
    False: ("100001", "error.getOrder.orderNotExist"),
}


def failure(refusal: Refusal, spot: bool, side: Side | None = None, **facts: object) -> Failure:
    """The venue's answer to a refusal; an unforeseen word is a server error, never a success.

    `facts` fill the braces of the text. Refusals that depend on the side have two codes.
    """
    table = SPOT if spot else FUTURES
    code, text = table.get(refusal.word, (SERVER_ERROR, "Internal Server Error"))
    if side is Side.SELL:
        code, text = _selling(refusal.word, spot, code, text)
    return Failure(code, text.format_map(_Facts(facts)))


def unknown_order(spot: bool) -> Failure:
    """Asking for an order that does not exist."""
    return Failure(*UNKNOWN_ORDER[spot])


class _Facts(dict[str, object]):
    """Leaves an unknown name of a text empty instead of failing."""

    def __missing__(self, name: str) -> str:
        return ""


def _selling(word: str, spot: bool, code: str, text: str) -> tuple[str, str]:
    match word:
        case "price_band" if spot:
            return "400760", "order price should be more than {limit}"
        case "price_band":
            return "300012", text
        case "no_liquidity" if not spot:
            return "300013", text
        case _:
            return code, text
