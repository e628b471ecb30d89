"""Request ceilings in windows of two seconds: by account and instrument, and by address."""

from oneprice.model.units import HOUR, SECOND
from oneprice.twin.contract import AccountSpec
from oneprice.twin.dialects.okx.envelope import Failure
from oneprice.twin.rates import RollingWindow

WINDOW_NS = 2 * SECOND
ORDERS = 60  # place, cancel and amend each, per account and instrument (section 10)
ORDERS_IN_BATCHES = 300  # the same for orders that come in batches of two or more
ACCOUNT_ORDERS = 1000  # new and amended orders of an account over all instruments
CONNECTION_REQUESTS = 480  # subscribe, unsubscribe and login per connection and hour
CONNECTS = 3  # new connections per second and address
# Requests in two seconds per account (private) or address (public).
CEILINGS: dict[str, int] = {
    "/api/v5/public/time": 10,
    "/api/v5/public/instruments": 20,
    "/api/v5/public/mark-price": 10,
    "/api/v5/public/price-limit": 20,
    "/api/v5/public/open-interest": 20,
    "/api/v5/public/position-tiers": 10,
    "/api/v5/public/funding-rate": 10,
    "/api/v5/public/funding-rate-history": 10,
    "/api/v5/public/premium-history": 20,
    "/api/v5/public/convert-contract-coin": 10,
    "/api/v5/public/estimated-price": 10,
    "/api/v5/market/books": 40,
    "/api/v5/market/books-full": 10,
    "/api/v5/market/trades": 100,
    "/api/v5/market/history-trades": 20,
    "/api/v5/market/candles": 40,
    "/api/v5/market/history-index-candles": 10,
    "/api/v5/trade/close-position": 20,
    "/api/v5/trade/cancel-all-after": 2,
    "/api/v5/trade/order": 60,
    "/api/v5/trade/orders-pending": 60,
    "/api/v5/trade/fills": 60,
    "/api/v5/trade/orders-history": 40,
    "/api/v5/trade/orders-history-archive": 20,
    "/api/v5/trade/fills-history": 10,
    "/api/v5/trade/account-rate-limit": 2,
    "/api/v5/account/balance": 10,
    "/api/v5/account/positions": 10,
    "/api/v5/account/positions-history": 10,
    "/api/v5/account/config": 5,
    "/api/v5/account/set-position-mode": 5,
    "/api/v5/account/trade-fee": 5,
    "/api/v5/account/bills": 10,
    "/api/v5/account/bills-archive": 10,
    "/api/v5/asset/balances": 12,
    "/api/v5/asset/transfer": 4,
    "/api/v5/system/status": 1,
}
CEILING_ELSEWHERE = 20
# Public ceilings that are counted per address and instrument (sections 8 and 9).
PER_INSTRUMENT = (
    "/api/v5/public/mark-price",
    "/api/v5/public/funding-rate",
    "/api/v5/public/funding-rate-history",
    "/api/v5/public/instruments",
)


class Limiter:
    """Rolling windows; `scale` multiplies every ceiling, so that tests may ask faster."""

    def __init__(self, scale: int = 1) -> None:
        self.scale = scale
        self._windows: dict[tuple[int, int], RollingWindow] = {}
        self._connects = RollingWindow(1, SECOND)

    def query(self, owner: str, path: str, about: str, at: int) -> None:
        """One REST request that is not an order; 50011 where there were too many."""
        ceiling = CEILINGS.get(path.rpartition(" ")[2], CEILING_ELSEWHERE)
        key = f"{owner} {path} {about if path in PER_INSTRUMENT else ''}"
        self._take(ceiling, WINDOW_NS, key, 1, at)

    def orders(self, account: AccountSpec, action: str, instruments: list[str], at: int) -> None:
        """Order operations of one request, REST or socket; 50011 or 50061.

        `action` is place, amend or cancel; a batch of one counts as a single request.
        """
        many = len(instruments) > 1
        ceiling = ORDERS_IN_BATCHES if many else ORDERS
        for name in dict.fromkeys(instruments):
            key = f"{account.uid} {action} {name} {many}"
            self._take(ceiling, WINDOW_NS, key, instruments.count(name), at)
        if action == "cancel":
            return
        try:
            self._take(ACCOUNT_ORDERS, WINDOW_NS, f"{account.uid}", len(instruments), at)
        except Failure:
            text = "You've reached the maximum order rate limit for this account."
            raise Failure("50061", text) from None

    def connection(self, conn_id: str, at: int) -> bool:
        """Whether a connection may (un)subscribe or log in once more this hour."""
        window = self._window(CONNECTION_REQUESTS * self.scale, HOUR)
        return window.take(conn_id, at).granted

    def connect(self, address: str, at: int) -> bool:
        """Whether an address may open one more connection this second."""
        self._connects.limit = CONNECTS * self.scale
        return self._connects.take(address, at).granted

    def _take(self, ceiling: int, span: int, key: str, weight: int, at: int) -> None:
        window = self._window(ceiling * self.scale, span)
        if not window.take(key, at, weight).granted:
            raise Failure("50011", "Too Many Requests", 429)

    def _window(self, limit: int, span: int) -> RollingWindow:
        return self._windows.setdefault((limit, span), RollingWindow(limit, span))
