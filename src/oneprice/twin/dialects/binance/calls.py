"""One request, whichever way it came: parameters, identity, time rule and signature."""

import hashlib
import hmac
from collections.abc import Mapping
from decimal import Decimal, InvalidOperation
from urllib.parse import unquote_plus

import msgspec

from oneprice.model.units import MICRO, MILLI
from oneprice.twin.dialects.binance import denials
from oneprice.twin.dialects.binance.denials import Denied

RECV_WINDOW_MS = Decimal(5_000)
RECV_WINDOW_MAX_MS = Decimal(60_000)
_AHEAD_NS = 1_000 * MILLI
_MICROSECONDS_FROM = 10**14  # larger timestamps are microseconds, which spot accepts


class Call(msgspec.Struct, kw_only=True):
    """A request after transport: what is asked (`name`), with which parameters, by whom.

    `account` is empty for unkeyed calls; `at` is the venue's clock in nanoseconds.
    """

    product: str
    name: str
    params: dict[str, str]
    at: int
    account: str = ""
    key: str = ""
    via: str = "rest"

    @property
    def now_ms(self) -> int:
        return self.at // MILLI

    def text(self, name: str, default: str = "") -> str:
        return self.params.get(name, default)

    def need(self, name: str) -> str:
        """A mandatory parameter; raises -1102 where it is absent or empty."""
        value = self.params.get(name, "")
        if not value:
            raise denials.missing(name)
        return value

    def integer(self, name: str, default: int) -> int:
        """A whole number; raises -1102 where the text is not one."""
        value = self.params.get(name, "")
        if not value:
            return default
        try:
            return int(value)
        except ValueError:
            raise denials.missing(name) from None

    def decimal(self, name: str) -> Decimal | None:
        """A decimal number or None; raises -1100 where the text is not one."""
        value = self.params.get(name, "")
        if not value:
            return None
        try:
            number = Decimal(value)
        except InvalidOperation:
            number = Decimal("NaN")
        if not number.is_finite():
            raise denials.malformed(name, "^([0-9]{1,20})(\\.[0-9]{1,20})?$")
        return number

    def flag(self, name: str) -> bool | None:
        """A boolean sent as text; None where it was not sent."""
        match self.params.get(name, "").lower():
            case "":
                return None
            case "true":
                return True
            case "false":
                return False
            case _:
                raise denials.missing(name)

    def window(self, default: int, most: int) -> int:
        """The `limit` parameter of a list call, refused above the venue's most."""
        limit = self.integer("limit", default)
        if limit < 1:
            raise denials.bad_value("limit")
        return min(limit, most)


def parse_form(raw: str) -> dict[str, str]:
    """Key-value pairs of a query or form body; the first of a repeated key counts."""
    found: dict[str, str] = {}
    for part in raw.split("&"):
        if not part:
            continue
        key, _, value = part.partition("=")
        found.setdefault(unquote_plus(key), unquote_plus(value))
    return found


def _without_signature(raw: str) -> str:
    return "&".join(p for p in raw.split("&") if p and not p.startswith("signature="))


def rest_payload(query: str, body: str) -> str:
    """What a REST client signed: query and body, joined without a separator."""
    return _without_signature(query) + _without_signature(body)


def ws_payload(params: Mapping[str, object]) -> str:
    """What a WebSocket API client signed: all parameters but the signature, sorted by name."""
    names = sorted(name for name in params if name != "signature")
    return "&".join(f"{name}={wire_text(params[name])}" for name in names)


def wire_text(value: object) -> str:
    """A JSON scalar as it stands in the signed text."""
    match value:
        case None:
            return ""
        case bool():
            return "true" if value else "false"
        case list() | dict():
            return msgspec.json.encode(value).decode()
        case _:
            return str(value)


def check_signature(payload: str, given: str, secret: str) -> None:
    """Raises -1022 where the HMAC SHA-256 of the payload is another one."""
    made = hmac.new(secret.encode(), payload.encode(), hashlib.sha256).hexdigest()
    if not hmac.compare_digest(made.encode(), given.lower().encode()):
        raise denials.signature()


def check_time(call: Call) -> None:
    """The venue's time rule; raises -1021 (both texts), -1102, or -1131 for a bad window."""
    stamp = call.need("timestamp")
    if not stamp.isascii() or not stamp.isdigit():
        raise denials.malformed("timestamp", "^[0-9]{1,20}$")
    sent = int(stamp)
    micro = call.product == "spot" and sent >= _MICROSECONDS_FROM
    sent_ns = sent * (MICRO if micro else MILLI)
    asked = call.decimal("recvWindow")
    window = RECV_WINDOW_MS if asked is None else asked
    if not 0 < window <= RECV_WINDOW_MAX_MS:
        raise Denied(-1131, "recvWindow must be less than 60000.")
    if sent_ns >= call.at + _AHEAD_NS:
        raise denials.early()
    # Stamps are whole milliseconds, so the age is measured in those.
    age_ns = call.at - sent_ns if micro else (call.now_ms - sent) * MILLI
    if age_ns > int(window * MILLI):
        raise denials.stale()
