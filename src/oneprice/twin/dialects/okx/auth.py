"""Who is asking: headers, clock and signatures of REST requests and of socket logins."""

import base64
import hashlib
import hmac
import re
from collections.abc import Callable, Mapping
from datetime import datetime

from oneprice.model.units import SECOND
from oneprice.twin.contract import AccountSpec
from oneprice.twin.dialects.okx.envelope import Failure, Row

SKEW_NS = 30 * SECOND
LOGIN_PATH = "/users/self/verify"
_ISO = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z")
_KEY = re.compile(r"[A-Za-z0-9-]{6,64}")

Find = Callable[[str], AccountSpec | None]


def signature(secret: str, text: str | bytes) -> str:
    """Base64 of HMAC-SHA256 (section 3)."""
    message = text.encode() if isinstance(text, str) else text
    return base64.b64encode(hmac.new(secret.encode(), message, hashlib.sha256).digest()).decode()


def check_request(
    headers: Mapping[str, str], payload: bytes, find: Find, at: int, *, demo: bool = False
) -> AccountSpec:
    """The account of a signed REST request; `payload` is method, path and body as sent.

    Failures in the order that section 3 recommends, all but the address and the permission,
    which the caller checks. `demo`: the environment that this venue is.
    """
    key = _header(headers, "OK-ACCESS-KEY", "50103")
    given = _header(headers, "OK-ACCESS-SIGN", "50106")
    sent = _header(headers, "OK-ACCESS-TIMESTAMP", "50107")
    phrase = _header(headers, "OK-ACCESS-PASSPHRASE", "50104")
    _check_clock(sent, at)
    if not _KEY.fullmatch(key):
        raise Failure("50111", "Invalid OK-ACCESS-KEY", 401)
    account = find(key)
    if account is None:
        raise Failure("50119", "API key doesn't exist", 401)
    if (headers.get("x-simulated-trading", "0") == "1") is not demo:
        raise Failure("50101", "APIKey does not match current environment.", 401)
    if not hmac.compare_digest(account.passphrase.encode(), phrase.encode()):
        raise Failure("50105", "Request header OK-ACCESS-PASSPHRASE incorrect.", 401)
    if not hmac.compare_digest(signature(account.secret, sent.encode() + payload), given):
        raise Failure("50113", "Invalid Sign", 401)
    return account


def check_login(argument: Row, find: Find, at: int) -> AccountSpec:
    """The account of one login argument; the stamp is seconds, as text or as a number."""
    sent = str(argument.get("timestamp", ""))
    if not re.fullmatch(r"\d{9,11}(\.\d+)?", sent):
        raise Failure("60004", "Invalid timestamp")
    if abs(int(sent.partition(".")[0]) * SECOND - at) > SKEW_NS:
        raise Failure("60006", "Timestamp request expired")
    key = str(argument.get("apiKey", ""))
    if not _KEY.fullmatch(key):
        raise Failure("60005", "Invalid apiKey")
    account = find(key)
    if account is None:
        raise Failure("60032", "API key doesn't exist")
    phrase, given = str(argument.get("passphrase", "")), str(argument.get("sign", ""))
    if not hmac.compare_digest(account.passphrase.encode(), phrase.encode()):
        raise Failure("60024", "Wrong passphrase")
    if not hmac.compare_digest(signature(account.secret, f"{sent}GET{LOGIN_PATH}"), given):
        raise Failure("60007", "Invalid sign")
    return account


def _header(headers: Mapping[str, str], name: str, code: str) -> str:
    value = headers.get(name, "")
    if not value:
        raise Failure(code, f"Request header {name} can not be empty.", 401)
    return value


def _check_clock(sent: str, at: int) -> None:
    if not _ISO.fullmatch(sent):
        raise Failure("50112", "Invalid OK-ACCESS-TIMESTAMP", 401)
    try:
        moment = datetime.fromisoformat(sent)
    except ValueError:
        raise Failure("50112", "Invalid OK-ACCESS-TIMESTAMP", 401) from None
    if abs(int(moment.timestamp() * 1000) * 1_000_000 - at) > SKEW_NS:
        raise Failure("50102", "Timestamp request expired", 401)
