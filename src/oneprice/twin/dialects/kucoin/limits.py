"""Weighted pools of requests: 30 seconds from the first request, per account or address."""

from enum import StrEnum

import msgspec

from oneprice.model.units import MILLI, MINUTE, SECOND
from oneprice.twin.dialects.kucoin.envelope import TOO_MANY, Failure
from oneprice.twin.rates import RollingWindow

WINDOW_NS = 30 * SECOND
CONNECTIONS_A_MINUTE = 30
MESSAGES = 100  # of one client on one connection in MESSAGES_NS
MESSAGES_NS = 10 * SECOND


class PoolName(StrEnum):
    """Whose quota a request is charged to (section 4, quotas of VIP 0)."""

    SPOT = "spot"
    FUTURES = "futures"
    MANAGEMENT = "management"
    PUBLIC = "public"


QUOTAS = {
    PoolName.SPOT: 4000,
    PoolName.FUTURES: 2000,
    PoolName.MANAGEMENT: 2000,
    PoolName.PUBLIC: 2000,
}


class Allowance(msgspec.Struct, frozen=True):
    """What a pool says to one request; `reset_ms` is the time left until it is full again."""

    granted: bool
    quota: int
    left: int
    reset_ms: int

    def headers(self) -> dict[str, str]:
        return {
            "gw-ratelimit-limit": str(self.quota),
            "gw-ratelimit-remaining": str(self.left),
            "gw-ratelimit-reset": str(self.reset_ms),
        }

    def row(self) -> dict[str, int]:
        """The same as operations by WebSocket show it."""
        return {"limit": self.quota, "remaining": self.left, "reset": self.reset_ms}


class Limiter:
    """Counts weights; `scale` multiplies every quota (VIP levels)."""

    def __init__(self, scale: int = 1) -> None:
        self.scale = scale
        self.overloads = 0  # so many requests are refused although their quota is not used up
        self._used: dict[tuple[PoolName, str], tuple[int, int]] = {}  # began at, weight
        self._connections = RollingWindow(CONNECTIONS_A_MINUTE, MINUTE)

    def take(self, pool: PoolName, who: str, weight: int, at: int) -> Allowance:
        """Charges a request; one that does not fit is not charged."""
        quota = QUOTAS[pool] * self.scale
        began, used = self._used.get((pool, who), (at, 0))
        if at - began >= WINDOW_NS:
            began, used = at, 0
        granted = used + weight <= quota
        if granted:
            used += weight
        self._used[pool, who] = (began, used)
        reset = -(-(began + WINDOW_NS - at) // MILLI)
        return Allowance(granted, quota, quota - used, reset)

    def check(self, allowance: Allowance) -> None:
        """Failure 429000 for a quota that is used up, or an overload that was asked for."""
        if not allowance.granted:
            raise Failure(TOO_MANY, "Too Many Requests")
        if self.overloads:
            self.overloads -= 1
            raise Failure(TOO_MANY, "System-level rate limit exceeded")

    def connect(self, who: str, at: int) -> bool:
        """Whether an address may open one more WebSocket now."""
        self._connections.limit = CONNECTIONS_A_MINUTE * self.scale
        return self._connections.take(who, at).granted
