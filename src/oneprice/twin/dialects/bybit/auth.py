"""Who is asking: keys, time window and signatures of REST requests and socket logins."""

import hashlib
import hmac
from collections.abc import Callable, Mapping
from typing import Protocol, TypeVar

from oneprice.twin.dialects.bybit.envelope import (
    BAD_KEY,
    BAD_PARAMETER,
    BAD_SIGN,
    OUTSIDE_WINDOW,
    Failure,
)

WINDOW_MS = 5_000
WINDOW_MS_MAX = 600_000
AHEAD_MS = 1_000  # a stamp this far in the future is refused whatever the window


class Keyed(Protocol):
    """The part of an account that signing needs."""

    @property
    def secret(self) -> str: ...


A = TypeVar("A", bound=Keyed)


def signature(secret: str, text: str | bytes) -> str:
    """Lower-case hex HMAC-SHA256 (docs "Authentication")."""
    message = text.encode() if isinstance(text, str) else text
    return hmac.new(secret.encode(), message, hashlib.sha256).hexdigest()


def check_window(sent: str, window: str, now_ms: int) -> None:
    """Accept iff now - window <= sent < now + 1000; Failure 10002 names the three numbers."""
    sent_ms = _whole(sent, "timestamp")
    window_ms = _whole(window, "recv_window") if window else WINDOW_MS
    if not 0 < window_ms <= WINDOW_MS_MAX:
        raise Failure(BAD_PARAMETER, f"params error: recv_window invalid {window_ms}")
    if now_ms - window_ms <= sent_ms < now_ms + AHEAD_MS:
        return
    raise Failure(
        OUTSIDE_WINDOW,
        "invalid request, please check your server timestamp or recv_window param. "
        f"req_timestamp[{sent_ms}],server_timestamp[{now_ms}],recv_window[{window_ms}]",
    )


def check_request(
    headers: Mapping[str, str],
    payload: bytes,
    find: Callable[[str], A | None],
    now_ms: int,
) -> A:
    """The account of a signed REST request; Failure 10003, 10002 or 10004, in that order."""
    key = headers.get("X-BAPI-API-KEY", "")
    sent = headers.get("X-BAPI-TIMESTAMP", "")
    window = headers.get("X-BAPI-RECV-WINDOW", "")
    if not key:
        raise Failure(BAD_PARAMETER, "empty value: apiTimestamp[] apiKey[] apiSignature[]")
    account = find(key)
    if account is None:
        raise Failure(BAD_KEY, "API key is invalid.")
    check_window(sent, window, now_ms)
    given = headers.get("X-BAPI-SIGN", "")
    text = f"{sent}{key}{window}".encode() + payload
    if not hmac.compare_digest(signature(account.secret, text), given):
        raise Failure(BAD_SIGN, "error sign! Error sign, please check your signature generation "
                      "algorithm.")
    return account


def check_login(
    arguments: object, find: Callable[[str], A | None], now_ms: int
) -> A:
    """The account of a socket login `[key, expires, signature]`; Failure as for REST.

    Clients write `expires` as a number or as text; it must lie in the future when processed.
    """
    if not isinstance(arguments, list) or len(arguments) < 3:
        raise Failure(BAD_PARAMETER, "Params Error")
    key, expires, given = (str(part) for part in arguments[:3])
    account = find(key)
    if account is None:
        raise Failure(BAD_KEY, "Invalid apikey")
    if not expires.isdecimal() or int(expires) <= now_ms:
        raise Failure(BAD_PARAMETER, "Params Error")
    if not hmac.compare_digest(signature(account.secret, f"GET/realtime{expires}"), given):
        raise Failure(BAD_SIGN, "error sign!")
    return account


def _whole(text: str, name: str) -> int:
    if not text.isascii() or not text.isdecimal():
        raise Failure(BAD_PARAMETER, f"params error: {name} invalid {text!r}")
    return int(text)
