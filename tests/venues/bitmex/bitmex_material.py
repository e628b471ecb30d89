"""BitMEX's dialect with four contracts listed, and frames to feed it."""

import importlib.util
from pathlib import Path
from types import ModuleType

import msgspec

from oneprice.venues.contract import Wanted

FACTORY = Path(__file__).resolve().parents[2] / "wire" / "bitmex" / "factory.py"
AT = 1_790_000_000_310_000_000
XBTUSD = "bitmex:derivatives:XBTUSD"
ETHUSD = "bitmex:derivatives:ETHUSD"
XBTUSDT = "bitmex:derivatives:XBTUSDT"
DATED = "bitmex:derivatives:XBTZ26"


def _loaded() -> ModuleType:
    spec = importlib.util.spec_from_file_location("bitmex_factory", FACTORY)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


factory = _loaded()
dialect, row = factory.dialect, factory.row


def level(id_: int, side: str, size: int | None = None, price: float | None = None) -> dict:
    named = {"symbol": "XBTUSD", "id": id_, "side": side, "size": size, "price": price}
    return {key: value for key, value in named.items() if value is not None}


def frame(action: str, *rows: dict, table: str = "orderBookL2") -> bytes:
    whole = {"table": table, "action": action, "data": list(rows)}
    return msgspec.json.encode(whole | {"filter": {"symbol": "XBTUSD"}})


def with_book():
    """A feed whose XBTUSD book is 64000 x 64000.5, and its trade."""
    feed, trade = dialect()
    feed.topics([Wanted(instrument=XBTUSD)])
    feed.decode("public", frame("partial", level(1, "Sell", 200, 64000.5),
                                level(2, "Buy", 500, 64000)), AT)  # fmt: skip
    assert feed.books[XBTUSD].known
    return feed, trade
