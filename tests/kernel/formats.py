"""Channel facts and frame builders that the kernel tests share."""

from __future__ import annotations

import json
from typing import Any

from oneprice.kernel.contract import DepthFormat

BYBIT = DepthFormat(
    kind_key="topic",
    kind_prefix="orderbook.",
    name_key="topic",
    snapshot_key="type",
    snapshot_value="snapshot",
    last_key="u",
    bids_key="b",
    asks_key="a",
    stamp_key="cts",
    rule="plus_one",
    restart_at=1,
)
BINANCE_SPOT = DepthFormat(
    kind_key="e",
    kind_prefix="depthUpdate",
    name_key="s",
    first_key="U",
    last_key="u",
    bids_key="b",
    asks_key="a",
    stamp_key="E",
    rule="span",
)
BINANCE_FUTURES = DepthFormat(
    kind_key="e",
    kind_prefix="depthUpdate",
    name_key="s",
    first_key="U",
    last_key="u",
    previous_key="pu",
    bids_key="b",
    asks_key="a",
    stamp_key="E",
    rule="linked",
)
OKX = DepthFormat(
    kind_key="channel",
    kind_prefix="books",
    name_key="instId",
    snapshot_key="action",
    snapshot_value="snapshot",
    last_key="seqId",
    previous_key="prevSeqId",
    bids_key="bids",
    asks_key="asks",
    stamp_key="ts",
    rule="linked",
)
PLAIN = DepthFormat(
    kind_key="e",
    kind_prefix="",
    name_key="s",
    last_key="u",
    bids_key="b",
    asks_key="a",
    rule="none",
)

Levels = list[list[Any]]
TOPIC = "orderbook.50.BTCUSDT"


def text(value: Any) -> bytes:
    """Compact JSON."""
    return json.dumps(value, separators=(",", ":")).encode()


def bybit(kind: str, u: int, bids: Levels, asks: Levels, topic: str = TOPIC) -> bytes:
    """A Bybit orderbook frame."""
    data = {"s": topic.rsplit(".", maxsplit=1)[-1], "b": bids, "a": asks, "u": u, "seq": 7 * u}
    return text({"topic": topic, "type": kind, "ts": 1700 + u, "data": data, "cts": 1690 + u})


def binance(first: int, last: int, bids: Levels, asks: Levels, previous: int = -1) -> bytes:
    """A Binance combined-stream depth frame, of futures when `previous` is given."""
    data: dict[str, Any] = {"e": "depthUpdate", "E": 1700, "T": 1699, "s": "BTCUSDT"}
    data |= {"U": first, "u": last}
    if previous >= 0:
        data["pu"] = previous
    return text({"stream": "btcusdt@depth", "data": data | {"b": bids, "a": asks}})


def okx(action: str, previous: int, last: int, bids: Levels, asks: Levels) -> bytes:
    """An OKX books frame with four texts a level."""
    padded = [
        [[*level, "0", "1"] if isinstance(level, list) else level for level in side]
        for side in (asks, bids)
    ]
    data = {"asks": padded[0], "bids": padded[1], "ts": "1700", "checksum": -5}
    data |= {"prevSeqId": previous, "seqId": last}
    arg = {"channel": "books", "instId": "BTC-USDT"}
    return text({"arg": arg, "action": action, "data": [data]})
