"""How the OKX twin is spoken to in plain code, and how its answers are compared."""

import base64
import hashlib
import hmac
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any

from wirelikeness import Rules

COIN_PRICE = "90000"
IDS = frozenset({"ordId"})
CODES = {1: "BTC-USDT", 10459: "BTC-USDT-SWAP", 20777: "BTC-USD-261225"}  # of the transcripts
CHANNELS = (
    {"channel": "orders", "instType": "ANY"},
    {"channel": "account"},
    {"channel": "positions", "instType": "ANY"},
)


class Tongue:
    """Frames and calls as the venue wants them, stamped by the twin's clock."""

    IDS = IDS
    RULES = Rules(
        exact=frozenset({"code", "sCode", "acctLv", "category", "lever", "cancelSource"}),
        meant=frozenset({"sz", "fillSz", "accFillSz", "pos"}),
        free=IDS
        | {"fillRatio", "mainFillRatio", "nextAccRateLimit"}
        | {"msg", "sMsg", "subCode", "connId", "label", "level", "ip", "perm", "tag", "connCount"},
    )

    def __init__(self, stage: Any) -> None:
        self.stage = stage

    def sign(self, text: str) -> str:
        secret = "wrong" if self.stage.spoilt == "secret" else self.stage.account.secret
        digest = hmac.new(secret.encode(), text.encode(), hashlib.sha256).digest()
        return base64.b64encode(digest).decode()

    @property
    def key(self) -> str:
        return "nobody0000" if self.stage.spoilt == "key" else str(self.stage.account.key)

    def login(self) -> dict[str, str]:
        stamp = str(self.stage.now_ms // 1000)
        sign = self.sign(f"{stamp}GET/users/self/verify")
        phrase = self.stage.account.passphrase
        return {"apiKey": self.key, "passphrase": phrase, "timestamp": stamp, "sign": sign}

    def frame(self, socket: str, frame: dict[str, Any]) -> dict[str, Any]:
        if frame["op"] == "login":
            return frame | {"args": [self.login()]}
        if "expTime" in frame:
            frame = frame | {"expTime": str(self.stage.now_ms + 2000)}
        return frame | {"args": [self.coded(one) for one in frame["args"]]}

    def coded(self, argument: dict[str, Any]) -> dict[str, Any]:
        """The twin numbers its instruments by itself."""
        if "instIdCode" not in argument:
            return argument
        sheets = self.stage.twin.surface._sheets  # the twin's own numbers, as REST would list
        code = sheets.by_inst[CODES[argument["instIdCode"]]].code
        return argument | {"instIdCode": code}

    def call(
        self, method: str, path: str, body: str, *, signed: bool
    ) -> tuple[str, dict[str, str]]:
        headers = {"Content-Type": "application/json"}
        if signed:
            moment = datetime.fromtimestamp(self.stage.now_ms / 1000, UTC)
            stamp = moment.isoformat(timespec="milliseconds").replace("+00:00", "Z")
            headers |= {
                "OK-ACCESS-KEY": self.key,
                "OK-ACCESS-SIGN": self.sign(f"{stamp}{method}{path}{body}"),
                "OK-ACCESS-TIMESTAMP": stamp,
                "OK-ACCESS-PASSPHRASE": self.stage.account.passphrase,
            }
        return path, headers

    def prefix(self, *, futures: bool) -> str:
        return ""

    async def path(self, socket: str, call: Any) -> str:
        return f"/ws/v5/{socket}"

    def logins(self, socket: str) -> Sequence[dict[str, Any]]:
        if socket != "private":
            return ()
        return {"op": "login", "args": [self.login()]}, {"op": "subscribe", "args": CHANNELS}
