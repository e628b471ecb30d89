"""How the Bybit twin is spoken to in plain code, and how its answers are compared."""

import hashlib
import hmac
from collections.abc import Sequence
from typing import Any

from wirelikeness import Rules

COIN_PRICE = "60000"
PATHS = {
    "spot": "/v5/public/spot",
    "linear": "/v5/public/linear",
    "inverse": "/v5/public/inverse",
    "private": "/v5/private",
    "trade": "/v5/trade",
}
IDS = frozenset({"orderId"})
TOPICS = ["order", "execution", "position", "wallet"]


class Tongue:
    """Frames and calls as the venue wants them, stamped by the twin's clock."""

    IDS = IDS
    RULES = Rules(
        exact=frozenset({"retCode", "positionIdx", "smpGroup", "mode"}),
        meant=frozenset({"qty", "size", "cumExecQty", "leavesQty", "execQty"}),
        free=IDS
        | {"execId", "id", "Traceid", "conn_id", "connId", "apiKey", "nextPageCursor"}
        | {"retMsg", "ret_msg", "note", "L", "ips", "isMaster"},
        optional={"novelty": "a field nobody has heard of"},
    )

    def __init__(self, stage: Any) -> None:
        self.stage = stage

    def sign(self, text: str) -> str:
        secret = "wrong" if self.stage.spoilt == "secret" else self.stage.account.secret
        return hmac.new(secret.encode(), text.encode(), hashlib.sha256).hexdigest()

    @property
    def key(self) -> str:
        return "nobody" if self.stage.spoilt == "key" else str(self.stage.account.key)

    def stamp(self) -> int:
        return int(self.stage.now_ms) - (60_000 if self.stage.spoilt == "stamp" else 0)

    def auth(self) -> list[Any]:
        expires = self.stamp() + 10_000
        return [self.key, expires, self.sign(f"GET/realtime{expires}")]

    def frame(self, socket: str, frame: dict[str, Any]) -> dict[str, Any]:
        if frame["op"] == "auth":
            return frame | {"args": self.auth()}
        if "header" in frame:
            stamped = {"X-BAPI-TIMESTAMP": str(self.stamp()), "X-BAPI-RECV-WINDOW": "2000"}
            return frame | {"header": stamped}
        return frame

    def call(
        self, method: str, path: str, body: str, *, signed: bool
    ) -> tuple[str, dict[str, str]]:
        headers = {"Content-Type": "application/json"}
        if signed:
            stamp, window = str(self.stamp()), "5000"
            payload = body if method == "POST" else path.partition("?")[2]
            headers |= {
                "X-BAPI-API-KEY": self.key,
                "X-BAPI-TIMESTAMP": stamp,
                "X-BAPI-RECV-WINDOW": window,
                "X-BAPI-SIGN": self.sign(stamp + self.key + window + payload),
            }
        return path, headers

    def prefix(self, *, futures: bool) -> str:
        return ""

    async def path(self, socket: str, call: Any) -> str:
        return PATHS[socket]

    def logins(self, socket: str) -> Sequence[dict[str, Any]]:
        if socket not in ("private", "trade"):
            return ()
        login = {"op": "auth", "args": self.auth()}
        return (login, {"op": "subscribe", "args": TOPICS}) if socket == "private" else (login,)
