"""Rate limits: token buckets per minute and per second, and bans of who does not listen."""

import msgspec

from oneprice.model.units import HOUR, MINUTE, SECOND
from oneprice.twin.dialects.bitmex.envelope import Failure
from oneprice.twin.rates import RollingWindow

SIGNED_PER_MINUTE, OPEN_PER_MINUTE, ORDERS_PER_SECOND = 120, 30, 10
STRIKES = 20  # refusals by the limiter within a minute before the ban; doubtful, so a setting
ERRORS = 100  # answers with 4xx or 5xx within a minute, likewise
BAN_NS = HOUR
WEEK_NS = 7 * 24 * HOUR
CONNECTS_PER_HOUR = 720  # sources say 40, 60 and 720 (section 17)
CONNECTS_PER_SECOND = 3

BANNED_PAGE = "<html><body><h1>403 Forbidden</h1>Your IP has been blocked.</body></html>"
PACED = {  # verb and path of the second bucket
    "POST /order",
    "PUT /order",
    "DELETE /order",
    "DELETE /order/all",
    "POST /position/leverage",
    "POST /position/isolate",
    "POST /position/transferMargin",
}


class Level(msgspec.Struct, frozen=True):
    """What a bucket says to one request."""

    granted: bool
    limit: int
    remaining: int
    full_at: int  # ns when it will be full again
    next_at: int  # ns when there will be one more token


class Bucket:
    """`limit` tokens per `span_ns`, refilled continuously, one store per key (section 4)."""

    def __init__(self, limit: int, span_ns: int) -> None:
        self.limit = limit
        self.span_ns = span_ns
        self._credit: dict[str, tuple[int, int]] = {}  # ns of refill in store, as of when

    def take(self, key: str, at: int) -> Level:
        cost = self.span_ns // self.limit
        credit, since = self._credit.get(key, (self.span_ns, at))
        credit = min(self.span_ns, credit + max(0, at - since))
        granted = credit >= cost
        if granted:
            credit -= cost
        self._credit[key] = (credit, at)
        missing = 0 if credit >= cost else cost - credit
        full_at = at + self.span_ns - credit
        return Level(granted, self.limit, credit // cost, full_at, at + missing)


class Limiter:
    """The venue's limits; `scale` multiplies every allowance (tests follow closely)."""

    def __init__(self, scale: int = 1) -> None:
        self.strikes = STRIKES
        self.resize(scale)
        self._strikes: dict[str, list[int]] = {}
        self._bans: dict[str, int] = {}  # address -> until
        self._sentences: dict[str, int] = {}  # address -> how often it was banned

    def resize(self, scale: int) -> None:
        """Fresh buckets and windows of `scale` times the documented size."""
        self._signed = Bucket(SIGNED_PER_MINUTE * scale, MINUTE)
        self._open = Bucket(OPEN_PER_MINUTE * scale, MINUTE)
        self._orders = Bucket(ORDERS_PER_SECOND * scale, SECOND)
        self._hourly = RollingWindow(CONNECTS_PER_HOUR * scale, HOUR)
        self._burst = RollingWindow(CONNECTS_PER_SECOND * scale, SECOND)
        self._errors = RollingWindow(ERRORS * scale, MINUTE)

    def charge(self, key: str, address: str, route: str, at: int) -> dict[str, str]:
        """Headers of a granted request; Failure 429 with its wait otherwise.

        `key` is empty for requests without credentials, which count per address.
        """
        minute = self._signed.take(key, at) if key else self._open.take(address, at)
        headers = _headers(minute)
        refused = None if minute.granted else minute
        if key and route in PACED:
            second = self._orders.take(key, at)
            headers["x-ratelimit-remaining-1s"] = str(second.remaining)
            refused = refused or (None if second.granted else second)
        if refused is None:
            return headers
        self._strike(address, at)
        wait_s = max(1, -(-(refused.next_at - at) // SECOND))
        message = f"Rate limit exceeded, retry in {wait_s} seconds."
        raise Limited(message, wait_s, headers)

    def connect(self, address: str, at: int) -> int:
        """What is left of the hourly allowance of WebSockets after one more, below 0: refused."""
        if not self._burst.take(address, at).granted:
            return -1
        hour = self._hourly.take(address, at)
        return hour.remaining if hour.granted else -1

    def failed(self, address: str, at: int) -> None:
        """One more answer that was an error; too many of them are a reason for a ban, too."""
        if not self._errors.take(address, at).granted:
            self.ban(address, at)

    def banned(self, address: str, at: int) -> bool:
        return at < self._bans.get(address, 0)

    def ban(self, address: str, at: int) -> None:
        """An hour for the first time, a week for repeat offenders."""
        count = self._sentences.get(address, 0) + 1
        self._sentences[address] = count
        self._bans[address] = at + (BAN_NS if count == 1 else WEEK_NS)

    def lift_bans(self) -> None:
        self._bans.clear()
        self._strikes.clear()

    def _strike(self, address: str, at: int) -> None:
        marks = [one for one in self._strikes.get(address, []) if one > at - MINUTE]
        marks.append(at)
        self._strikes[address] = marks
        if len(marks) > self.strikes:
            self.ban(address, at)


class Limited(Failure):
    """Over a limit: carries the headers that tell so."""

    def __init__(self, message: str, wait_s: int, headers: dict[str, str]) -> None:
        super().__init__(429, message, "RateLimitError", wait_s)
        self.headers = headers | {"Retry-After": str(wait_s)}


def _headers(level: Level) -> dict[str, str]:
    return {
        "x-ratelimit-limit": str(level.limit),
        "x-ratelimit-remaining": str(level.remaining),
        "x-ratelimit-reset": str(-(-level.full_at // SECOND)),
    }
