"""From the exchange's neutral words of refusal to this venue's codes and texts (section 14)."""

from oneprice.model.units import Side
from oneprice.twin.contract import Refusal
from oneprice.twin.dialects.okx.envelope import Failure
from oneprice.twin.dialects.okx.facts import Sheet

WORDS: dict[str, tuple[str, str]] = {
    "no_such_instrument": ("51001", "Instrument ID or Instrument ID code doesn't exist."),
    "not_tradable": ("51022", "Contract suspended"),
    "no_such_account": ("50119", "API key doesn't exist"),
    "no_such_order": ("51603", "Order does not exist"),
    "order_closed": ("51603", "Order does not exist"),
    "duplicate_id": ("51016", "Client order ID already exists"),
    "bad_size": ("51000", "Parameter sz error"),
    "too_small": ("51020", "Your order should meet or exceed the minimum order amount."),
    "min_notional": ("51020", "Your order should meet or exceed the minimum order amount."),
    "bad_price": ("51006", "Order price is not within the price limit"),
    "price_band": ("51006", "Order price is not within the price limit"),
    "no_liquidity": ("51109", "There are no buy orders or sell orders."),
    "reduce_only": (
        "51169",
        "Order failed because you don't have any positions in this direction for this contract "
        "to reduce or close.",
    ),
    "position_mode": ("51000", "Parameter posSide error"),
    "self_trade": ("51000", "Parameter stpMode error"),
    "too_many_orders": ("51174", "The number of pending orders reached the upper limit."),
    "nothing_changed": ("51500", "You must enter a different price or amount."),
    "below_filled": ("51000", "Parameter newSz error"),
    "leverage": ("59102", "Leverage exceeds the maximum limit. Please lower the leverage."),
    "bad_request": ("51000", "Parameter error"),
    "venue_busy": ("50013", "Systems are busy. Please try again later."),
    "margin_mode": ("51010", "Request unsupported under current account mode."),
    "risk_limit": ("51004", "Order amount exceeds current tier limit."),
    "no_position": ("51023", "Position does not exist."),
    "mode_blocked": ("59000", "Your settings failed as you have positions or open orders."),
}
# Why an instrument does not trade, by its status.
HALTS = {
    "settling": ("51028", "Contract under delivery."),
    "delisted": ("51087", "Listing canceled for this crypto."),
}
_SYSTEM = ("50026", "System error. Try again later.")


def failure(refusal: Refusal, sheet: Sheet | None = None, side: Side | None = None) -> Failure:
    """The venue's answer to a refusal; an unforeseen word is a system error, never a success."""
    match refusal.word:
        case "insufficient_funds" | "insufficient_margin" if sheet is not None:
            return _poor(sheet, side)
        case "too_large" if sheet is not None:
            return _large(sheet)
    if refusal.word == "insufficient_funds":
        return Failure("58350", "Insufficient balance")
    code, text = WORDS.get(refusal.word, _SYSTEM)
    return Failure(code, text, 500 if code == _SYSTEM[0] else 200)


def halted(sheet: Sheet, status: str) -> Failure:
    """An order on an instrument that does not trade now, or never again."""
    if status == "delisted" and sheet.instrument.expiry:
        return Failure("51027", "Contract expired.")
    return Failure(*HALTS.get(status, WORDS["not_tradable"]))


def beyond(sheet: Sheet, side: Side, limit: str) -> Failure:
    """A limit price beyond the allowed one."""
    if sheet.spot:
        return Failure("51006", f"Order price is not within the price limit ({limit})")
    if side is Side.BUY:
        return Failure("51137", f"The highest price limit for buy orders is {limit}.")
    return Failure("51138", f"The lowest price limit for sell orders is {limit}.")


def _poor(sheet: Sheet, side: Side | None) -> Failure:
    instrument = sheet.instrument
    if sheet.spot:
        coin = instrument.base if side is Side.SELL else instrument.quote
        return Failure(
            "51008", f"Order failed. Insufficient {coin} balance in account", sub="1000"
        )
    text = f"Order failed. Insufficient {instrument.settle} margin in account"
    return Failure("51008", text, sub="1001")


def _large(sheet: Sheet) -> Failure:
    if sheet.spot:
        return Failure("51005", "Order amount exceeds the current maximum order amount.")
    return Failure("51101", "The maximum number of contracts per order is exceeded.")
