"""How the BitMEX twin is spoken to in plain code, and how its answers are compared."""

import hashlib
import hmac
from collections.abc import Sequence
from typing import Any

from wirelikeness import Rules

COIN_PRICE = "64000"
IDS = frozenset({"orderID", "execID", "trdMatchID"})
TABLES = ["execution", "order", "position", "margin"]


class Tongue:
    """Frames and calls as the venue wants them, stamped by the twin's clock."""

    IDS = IDS
    RULES = Rules(
        exact=frozenset({"status"}),
        meant=frozenset({"orderQty", "lastQty", "cumQty", "leavesQty", "currentQty"}),
        free=IDS
        | {"name", "permissions", "args", "crossMargin"}
        | {"text", "remaining", "tickDirection", "meta"},
        optional={"nonce": "keys of today have none"},
    )

    def __init__(self, stage: Any) -> None:
        self.stage = stage

    def sign(self, text: str) -> str:
        secret = "wrong" if self.stage.spoilt == "secret" else self.stage.account.secret
        return hmac.new(secret.encode(), text.encode(), hashlib.sha256).hexdigest()

    @property
    def key(self) -> str:
        return "nobody" if self.stage.spoilt == "key" else str(self.stage.account.key)

    def expires(self) -> int:
        return int(self.stage.now_ms) // 1000 + (-60 if self.stage.spoilt == "stamp" else 10)

    def auth(self) -> list[Any]:
        expires = self.expires()
        return [self.key, expires, self.sign(f"GET/realtime{expires}")]

    def frame(self, socket: str, frame: dict[str, Any]) -> dict[str, Any]:
        return frame | {"args": self.auth()} if frame["op"] == "authKeyExpires" else frame

    def call(
        self, method: str, path: str, body: str, *, signed: bool
    ) -> tuple[str, dict[str, str]]:
        headers = {"Content-Type": "application/json"} if body else {}
        if signed:
            expires = str(self.expires())
            sign = self.sign(f"{method}{path}{expires}{body}")
            headers |= {"api-key": self.key, "api-expires": expires, "api-signature": sign}
        return path, headers

    def prefix(self, *, futures: bool) -> str:
        return ""

    async def path(self, socket: str, call: Any) -> str:
        return "/realtime"

    def logins(self, socket: str) -> Sequence[dict[str, Any]]:
        if socket != "private":
            return ()
        return (
            {"op": "authKeyExpires", "args": self.auth()},
            {"op": "subscribe", "args": TABLES},
        )
