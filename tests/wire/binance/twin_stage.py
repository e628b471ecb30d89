"""How the Binance twin is spoken to in plain code, and how its answers are compared."""

import hashlib
import hmac
from collections.abc import Sequence
from typing import Any
from urllib.parse import parse_qsl, urlencode

from wirelikeness import Rules

COIN_PRICE = "60000"
PATHS = {
    "spot_public": "/stream",
    "usdm_public": "/public/stream",
    "usdm_market": "/market/stream",
    "coinm_public": "/dstream/stream",
    "spot_orders": "/ws-api/v3",
    "spot_user": "/ws-api/v3",
    "usdm_orders": "/ws-fapi/v1",
}
KEYED = {
    "usdm_user": ("/fapi/v1/listenKey", "/private/ws/"),
    "coinm_user": ("/dapi/v1/listenKey", "/dstream/ws/"),
}
IDS = frozenset({"orderId", "i"})


class Tongue:
    """Frames and calls as the venue wants them, stamped by the twin's clock."""

    IDS = IDS
    RULES = Rules(
        exact=frozenset({"code", "error.code", "status", "leverage"}),
        meant=frozenset({"q", "o.l", "event.l", "z", "pa"})
        | {"origQty", "executedQty", "positionAmt", "qty"},
        free=IDS | {"msg", "tranId", "accountAlias", "canWithdraw", "executionId", "listenKey"},
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

    def frame(self, socket: str, frame: dict[str, Any]) -> dict[str, Any]:
        params = frame.get("params")
        if not isinstance(params, dict) or "signature" not in params:
            return frame
        del params["signature"]
        params |= {"apiKey": self.key, "timestamp": self.stamp()}
        text = "&".join(f"{name}={params[name]}" for name in sorted(params))
        return frame | {"params": params | {"signature": self.sign(text)}}

    def call(
        self, method: str, path: str, body: str, *, signed: bool
    ) -> tuple[str, dict[str, str]]:
        headers = {"X-MBX-APIKEY": self.key}
        bare, _, query = path.partition("?")
        if not signed or bare.endswith("listenKey"):
            return path, headers
        fields = [(k, v) for k, v in parse_qsl(query) if k not in ("timestamp", "signature")]
        text = urlencode([*fields, ("timestamp", str(self.stamp()))])
        return f"{bare}?{text}&signature={self.sign(text)}", headers

    def prefix(self, *, futures: bool) -> str:
        return ""

    async def path(self, socket: str, call: Any) -> str:
        if socket in PATHS:
            return PATHS[socket]
        door, begin = KEYED[socket]
        _, answer = await call("the key", "POST", door)
        return f"{begin}{answer['listenKey']}"

    def logins(self, socket: str) -> Sequence[dict[str, Any]]:
        if socket != "spot_user":
            return ()
        login = {"id": "login", "method": "userDataStream.subscribe.signature"}
        return (self.frame(socket, login | {"params": {"signature": ""}}),)
