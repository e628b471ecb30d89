"""Disconnect cancel-all: orders go when every connection that watched over them is dead.

Armed per account and product (section 5.11). The real venue offers it to institutional accounts
only; `enabled` says to whom this one does.
"""

import msgspec

from oneprice.model.units import SECOND
from oneprice.twin.contract import Exchange
from oneprice.twin.dialects.bybit.envelope import (
    BAD_PARAMETER,
    NO_PERMISSION,
    Answer,
    Failure,
    Row,
)
from oneprice.twin.dialects.bybit.sessions import Sessions
from oneprice.twin.dialects.bybit.trade_rest import Call

TOPICS = {"DERIVATIVES": "dcp.future", "SPOT": "dcp.spot", "OPTIONS": "dcp.option"}
MARKETS = {"DERIVATIVES": ("linear", "inverse"), "SPOT": ("spot",), "OPTIONS": ()}
SHORTEST_S, LONGEST_S = 3, 300


class _Watch(msgspec.Struct):
    window_s: int
    heard_at: int = 0  # 0: nobody watches yet


class DisconnectGuard:
    """Counts how long nobody was heard; `beat` cancels."""

    def __init__(self, exchange: Exchange, sessions: Sessions) -> None:
        self._exchange = exchange
        self._sessions = sessions
        self._watches: dict[tuple[str, str], _Watch] = {}
        self.enabled: dict[str, bool] = {}  # by key; not named: enabled

    def arm(self, call: Call) -> Answer:
        """POST /v5/order/disconnected-cancel-all."""
        product = call.fields.text("product", "OPTIONS")
        if product not in TOPICS:
            raise Failure(BAD_PARAMETER, f"params error: product invalid: {product!r}")
        if not self.enabled.get(call.account.key, True):
            raise Failure(NO_PERMISSION, "Permission denied, ask your account manager.")
        window = call.fields.whole("timeWindow", 0, SHORTEST_S, LONGEST_S)
        if not window:
            raise Failure(BAD_PARAMETER, "params error: timeWindow is required")
        watch = self._watches.setdefault((call.account.key, product), _Watch(window))
        watch.window_s = window
        return Answer({}, text="success")

    def info(self, call: Call) -> Row:
        """GET /v5/account/query-dcp-info."""
        return {
            "dcpInfos": [
                {"product": product, "dcpStatus": "ON", "timeWindow": str(watch.window_s)}
                for (key, product), watch in self._watches.items()
                if key == call.account.key
            ]
        }

    def beat(self, at: int) -> None:
        for (key, product), watch in self._watches.items():
            readers = self._sessions.readers("private", TOPICS[product])
            heard = [one.heard_at for one in readers if one.key == key]
            watch.heard_at = max([watch.heard_at, *heard])
            if not watch.heard_at or at - watch.heard_at < watch.window_s * SECOND:
                continue
            watch.heard_at = 0  # until somebody watches again
            for market in MARKETS[product]:
                self._exchange.cancel_all(key, at, market=market, reason="dcp")
