"""Who is asking: keys, time window, passphrase and signatures (section 3 of the document)."""

import base64
import hashlib
import hmac
from collections.abc import Callable, Mapping
from urllib.parse import unquote

from oneprice.twin.contract import AccountSpec
from oneprice.twin.dialects.kucoin.envelope import (
    BAD_KEY,
    BAD_PASSPHRASE,
    BAD_SIGN,
    BAD_TIME,
    BAD_VERSION,
    NO_HEADERS,
    Failure,
)

SKEW_MS = 5_000
VERSIONS = ("2", "3")
REQUIRED = ("KC-API-KEY", "KC-API-SIGN", "KC-API-TIMESTAMP", "KC-API-PASSPHRASE")
FUTURES_PREFIX = "/futures"

Find = Callable[[str], AccountSpec | None]


def signature(secret: str, text: str | bytes) -> str:
    """Base64 of HMAC-SHA256."""
    message = text.encode() if isinstance(text, str) else text
    return base64.b64encode(hmac.new(secret.encode(), message, hashlib.sha256).digest()).decode()


def same(given: str, wanted: str) -> bool:
    return hmac.compare_digest(given.encode(), wanted.encode())


def check_request(
    headers: Mapping[str, str], target: tuple[str, str, bytes], find: Find, now_ms: int
) -> AccountSpec:
    """The account of a signed request with target (method, path and query as sent, body).

    Failure 400001, 400003, 400002, 400008, 400004 or 400005, in that order.
    """
    if any(not headers.get(name) for name in REQUIRED):
        raise Failure(
            NO_HEADERS,
            "Please check the header of your request for KC-API-KEY, KC-API-SIGN, "
            "KC-API-TIMESTAMP, KC-API-PASSPHRASE",
        )
    account = find(headers["KC-API-KEY"])
    if account is None:
        raise Failure(BAD_KEY, "KC-API-KEY not exists")
    stamp = headers["KC-API-TIMESTAMP"]
    check_time(stamp, now_ms)
    version = headers.get("KC-API-KEY-VERSION", "1")
    if version not in VERSIONS:
        raise Failure(BAD_VERSION, "KC-API-KEY-VERSION is unsupported")
    check_passphrase(account, headers["KC-API-PASSPHRASE"])
    given = headers["KC-API-SIGN"]
    method, path, body = target
    for signed in spellings(path):
        text = f"{stamp}{method}{signed}".encode() + body
        if same(given, signature(account.secret, text)):
            return account
    raise Failure(BAD_SIGN, "Invalid KC-API-SIGN")


def spellings(path: str) -> tuple[str, ...]:
    """What a client may have signed for a path and query that was sent.

    The venue's own SDK signs the query before percent-encoding, other clients after it; and the
    futures prefix belongs to this twin, not to the venue.
    """
    bare = path.removeprefix(FUTURES_PREFIX)
    return tuple(dict.fromkeys((bare, unquote(bare), path, unquote(path))))


def check_time(stamp: str, now_ms: int) -> None:
    """Failure 400002 where a time in ms is more than five seconds off, or no time at all."""
    known = stamp.isascii() and stamp.isdecimal()
    if not known or abs(int(stamp) - now_ms) > SKEW_MS:
        raise Failure(BAD_TIME, "KC-API-TIMESTAMP Invalid")


def check_passphrase(account: AccountSpec, given: str) -> None:
    """Keys of version 2 and 3 send the passphrase signed with the secret."""
    if not same(given, signature(account.secret, account.passphrase)):
        raise Failure(BAD_PASSPHRASE, "Invalid KC-API-PASSPHRASE")
