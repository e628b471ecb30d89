"""How this venue spells ids: 24 hex digits for spot orders, 18 digits for futures orders."""

import hashlib

from oneprice.model.units import Asset, InstrumentId

PER_SECOND = 10_000  # the exchange's ids begin at ten times the milliseconds of its start
FUTURES_ORDER = 2 * 10**17
SPOT_TRADE = 11 * 10**15
POSITION = 5 * 10**17


def spot_order(number: int) -> str:
    """A 24-digit id that begins, as an object id does, with the seconds."""
    return f"{number // PER_SECOND:08x}{number:016x}"


def spot_order_number(text: str) -> int:
    """The number behind a spot order id; 0 where it is not one of ours."""
    if len(text) != 24 or any(letter not in "0123456789abcdef" for letter in text):
        return 0
    number = int(text[8:], 16)
    return number if spot_order(number) == text else 0


def futures_order(number: int) -> str:
    return str(FUTURES_ORDER + number)


def futures_order_number(text: str) -> int:
    """The number behind a futures order id; 0 where it is not one of ours."""
    if not (text.isascii() and text.isdecimal() and len(text) <= 20):
        return 0
    return max(0, int(text) - FUTURES_ORDER)


def order(spot: bool, number: int) -> str:
    return spot_order(number) if spot else futures_order(number)


def order_number(spot: bool, text: str) -> int:
    return spot_order_number(text) if spot else futures_order_number(text)


def trade(spot: bool, number: int) -> int:
    """The id of a public trade: 17 digits on spot, 13 on futures."""
    return SPOT_TRADE + number if spot else number


def stranger(spot: bool, instrument: InstrumentId, number: int, side: str) -> str:
    """The order id of an anonymous party of a trade."""
    digest = _digest(f"{instrument}:{number}:{side}")
    if spot:
        return f"{digest:024x}"[-24:]
    return str(FUTURES_ORDER // 2 + digest % 10**16)


def user(uid: int) -> str:
    return f"{uid:024x}"


def wallet_account(uid: int, asset: Asset) -> str:
    """The id of the trade account of one coin: 12 digits."""
    return str(5 * 10**11 + _digest(f"{uid}:{asset}") % 10**11)


def position(uid: int, instrument: InstrumentId, index: int) -> str:
    return str(POSITION + _digest(f"{uid}:{instrument}:{index}") % 10**12)


def generated_client_id(number: int) -> str:
    """What an order gets whose sender gave none."""
    return f"{_digest(f'client:{number}'):032x}"[-24:]


def _digest(text: str) -> int:
    return int.from_bytes(hashlib.blake2b(text.encode(), digest_size=12).digest())
