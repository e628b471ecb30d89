"""Request ceilings: per account and endpoint over a rolling second, and per address over HTTP."""

import msgspec

from oneprice.model.units import MILLI, SECOND
from oneprice.twin.rates import RollingWindow

WINDOW_NS = SECOND
IP_WINDOW_NS = 5 * SECOND
IP_CEILING = 600
IP_BAN_NS = 600 * SECOND
BANNED_PAGE = (
    "<html>\r\n<head><title>403 Forbidden</title></head>\r\n<body>\r\n<center><h1>403 Forbidden"
    "</h1></center>\r\n<p>access too frequent</p>\r\n</body>\r\n</html>\r\n"
)

# path: (derivatives, spot) requests a second for an account without VIP level (section 3.2)
CEILINGS: dict[str, tuple[int, int]] = {
    "/v5/order/create": (10, 20),
    "/v5/order/amend": (10, 10),
    "/v5/order/cancel": (10, 20),
    "/v5/order/cancel-all": (10, 20),
    "/v5/order/create-batch": (10, 20),
    "/v5/order/amend-batch": (10, 20),
    "/v5/order/cancel-batch": (10, 20),
    "/v5/order/realtime": (50, 50),
    "/v5/order/history": (50, 50),
    "/v5/execution/list": (50, 50),
    "/v5/order/spot-borrow-check": (50, 50),
    "/v5/position/list": (50, 50),
    "/v5/position/closed-pnl": (50, 50),
    "/v5/position/set-leverage": (10, 10),
    "/v5/position/switch-mode": (10, 10),
    "/v5/position/add-margin": (10, 10),
    "/v5/order/disconnected-cancel-all": (5, 5),
    "/v5/account/wallet-balance": (50, 50),
    "/v5/account/info": (50, 50),
    "/v5/account/withdrawal": (50, 50),
    "/v5/account/collateral-info": (50, 50),
    "/v5/account/user-setting-config": (50, 50),
    "/v5/account/transaction-log": (25, 25),
    "/v5/account/fee-rate": (5, 5),
    "/v5/account/query-dcp-info": (5, 5),
    "/v5/account/smp-group": (5, 5),
    "/v5/account/set-limit-px-action": (10, 10),
    "/v5/account/set-margin-mode": (5, 5),
    "/v5/user/query-api": (10, 10),
}
CEILING_ELSEWHERE = 50


class Allowance(msgspec.Struct, frozen=True):
    """What the limiter says about one call: how much of it passes and what the headers state."""

    ceiling: int
    passed: int  # units let through, at most what was asked for
    left: int
    reset_ms: int

    def headers(self) -> dict[str, str]:
        return {
            "X-Bapi-Limit": str(self.ceiling),
            "X-Bapi-Limit-Status": str(self.left),
            "X-Bapi-Limit-Reset-Timestamp": str(self.reset_ms),
        }


class Limiter:
    """Rolling windows of requests; `scale` multiplies every per-account ceiling (VIP levels)."""

    def __init__(self, scale: int = 1, ip_ceiling: int = IP_CEILING) -> None:
        self.scale = scale
        self._windows: dict[int, RollingWindow] = {}
        self._visits = RollingWindow(ip_ceiling, IP_WINDOW_NS)
        self._banned_until: dict[str, int] = {}

    def take(self, uid: str, path: str, spot: bool, units: int, at: int) -> Allowance:
        """Charge units (batch calls: orders) to the window; what does not fit is not charged."""
        derivatives, on_spot = CEILINGS.get(path, (CEILING_ELSEWHERE, CEILING_ELSEWHERE))
        ceiling = (on_spot if spot else derivatives) * self.scale
        window = self._windows.setdefault(ceiling, RollingWindow(ceiling, WINDOW_NS))
        key = f"{uid} {path} {'spot' if spot else 'derivatives'}"
        granted = [window.take(key, at) for _ in range(max(units, 1))]
        passed = sum(one.granted for one in granted)
        last = granted[-1]
        reset = at if last.granted else last.resets_at
        return Allowance(ceiling, passed, last.remaining, -(-reset // MILLI))

    def visit(self, address: str, at: int) -> bool:
        """Whether this address may make an HTTP request now; a breach bans it for ten minutes."""
        if at < self._banned_until.get(address, 0):
            return False
        if self._visits.take(address, at).granted:
            return True
        self.ban(address, at)
        return False

    def ban(self, address: str, at: int) -> None:
        """Refuse every HTTP request of an address for ten minutes."""
        self._banned_until[address] = at + IP_BAN_NS

    def lift_bans(self) -> None:
        """Let every banned address in again."""
        self._banned_until.clear()
