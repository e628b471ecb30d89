"""How the KuCoin twin is spoken to in plain code, and how its answers are compared."""

import base64
import hashlib
import hmac
from collections.abc import Sequence
from typing import Any

from wirelikeness import Rules

COIN_PRICE = "90000"
IDS = frozenset({"orderId", "tradeId", "cancelledOrderIds"})
TOPICS = {
    "spot_private": ("/spotMarket/tradeOrdersV2", "/account/balance"),
    "futures_private": (
        "/contractMarket/tradeOrders",
        "/contract/positionAll",
        "/contractAccount/wallet",
    ),
}


class Tongue:
    """Frames and calls as the venue wants them, stamped by the twin's clock."""

    IDS = IDS
    RULES = Rules(
        exact=frozenset({"code", "positionMode"}),
        meant=frozenset({"matchSize", "filledSize", "originSize", "currentQty", "qty"}),
        free=IDS
        | {"userId", "makerOrderId", "takerOrderId", "context", "hasMore", "ipWhitelist"}
        | {"id", "msg", "token", "accountId", "endpoint", "encrypt", "remark", "permission"},
    )

    def __init__(self, stage: Any) -> None:
        self.stage = stage
        for symbol in ("XBTUSDTM", "XBTUSDM"):  # the transcripts' account; the default is isolated
            at, name = stage.clock(), f"kucoin:futures:{symbol}"
            stage.exchange.set_margin_mode(stage.account.key, name, "cross", at)

    def sign(self, text: str) -> str:
        secret = "wrong" if self.stage.spoilt == "secret" else self.stage.account.secret
        digest = hmac.new(secret.encode(), text.encode(), hashlib.sha256).digest()
        return base64.b64encode(digest).decode()

    def frame(self, socket: str, frame: dict[str, Any]) -> dict[str, Any]:
        return frame

    def call(
        self, method: str, path: str, body: str, *, signed: bool
    ) -> tuple[str, dict[str, str]]:
        stamp = str(self.stage.now_ms)
        phrase = "wrong" if self.stage.spoilt == "phrase" else self.stage.account.passphrase
        headers = {
            "KC-API-KEY": self.stage.account.key,
            "KC-API-TIMESTAMP": stamp,
            "KC-API-PASSPHRASE": self.sign(phrase),
            "KC-API-KEY-VERSION": "3",
            "KC-API-SIGN": self.sign(f"{stamp}{method}{path}{body}"),
        }
        if self.stage.spoilt == "sign":
            headers["KC-API-SIGN"] = self.sign("something else")
        return path, {"Content-Type": "application/json"} | (headers if signed else {})

    def prefix(self, *, futures: bool) -> str:
        return "/futures" if futures else ""

    async def path(self, socket: str, call: Any) -> str:
        private = socket.endswith("_private")
        door = f"/api/v1/bullet-{'private' if private else 'public'}"
        _, answer = await call(f"the door of {socket}", "POST", door)
        server = answer["data"]["instanceServers"][0]
        return f"{server['endpoint']}?token={answer['data']['token']}&connectId=wire-{socket}-1"

    def logins(self, socket: str) -> Sequence[dict[str, Any]]:
        common = {"type": "subscribe", "privateChannel": True, "response": True}
        return [
            common | {"id": f"login-{number}", "topic": topic}
            for number, topic in enumerate(TOPICS.get(socket, ()))
        ]
