"""How near a venue is to closing a position, as the five venues' documents write it."""

import importlib.util
import json
from decimal import Decimal
from pathlib import Path
from typing import Any

import msgspec
import pytest

from oneprice.model.commands import QueryAccount
from oneprice.model.events import FrameRejected, PositionReported
from oneprice.model.units import Nanos
from oneprice.venues.contract import Answer

WIRE = Path(__file__).resolve().parents[1] / "wire"
AT = Nanos(1_790_000_000_310_000_000)

# The position rows of the protocol documents: REST and stream.
BYBIT: dict[str, Any] = {
    "positionIdx": 0, "symbol": "BTCUSDT", "side": "Buy", "size": "0.004", "avgPrice": "60000",
    "positionStatus": "Normal", "adlRankIndicator": 2, "leverage": "3", "markPrice": "60002.50",
    "liqPrice": "", "bustPrice": "",
}  # fmt: skip
BINANCE: dict[str, Any] = {
    "symbol": "BTCUSDT", "positionSide": "BOTH", "positionAmt": "-0.010", "entryPrice": "60100.0",
    "markPrice": "60002.50000000", "liquidationPrice": "0", "marginAsset": "USDT", "adl": 2,
}  # fmt: skip
OKX: dict[str, Any] = {
    "instType": "SWAP", "instId": "BTC-USDT-SWAP", "mgnMode": "cross", "posSide": "net",
    "pos": "-0.5", "avgPx": "90000", "lever": "10", "liqPx": "97811.2", "adl": "1", "ccy": "USDT",
}  # fmt: skip
KUCOIN: dict[str, Any] = {
    "symbol": "XBTUSDTM", "currentQty": 1, "avgEntryPrice": 90000.0, "liquidationPrice": 73853.0,
    "leverage": 5, "marginMode": "ISOLATED", "positionSide": "BOTH", "settleCurrency": "USDT",
}  # fmt: skip
BITMEX: dict[str, Any] = {
    "account": 1234567, "symbol": "XBTUSD", "currency": "XBt", "leverage": 10,
    "crossMargin": False, "currentQty": 1000, "avgEntryPrice": 98000, "liquidationPrice": 89500.5,
    "deleveragePercentile": 0.4,
}  # fmt: skip
MARKETS = {
    "bybit": "linear", "binance": "usdm", "okx": "swap", "kucoin": "futures",
    "bitmex": "derivatives",
}  # fmt: skip


def a_trade(venue: str) -> Any:
    spec = importlib.util.spec_from_file_location(
        f"margins_{venue}", WIRE / venue / "factory.py"
    )
    assert spec is not None and spec.loader is not None
    factory = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(factory)
    return factory.dialect()[1]


def body_of(venue: str, row: dict[str, Any]) -> bytes:
    match venue:
        case "bybit":
            page = {"category": "linear", "list": [row], "nextPageCursor": ""}
            return msgspec.json.encode({"retCode": 0, "retMsg": "OK", "result": page, "time": 1})
        case "okx":
            return msgspec.json.encode({"code": "0", "msg": "", "data": [row]})
        case "kucoin":
            return msgspec.json.encode({"code": "200000", "data": [row]})
    return msgspec.json.encode([row])


def asked(venue: str, row: dict[str, Any]) -> PositionReported:
    """What the answer to the question for positions says; the others get none."""
    trade = a_trade(venue)
    out: list[Any] = []
    waiting = list(trade.encode(QueryAccount(venue=venue, market=MARKETS[venue]), AT))
    while waiting:
        request = waiting.pop(0)
        body = body_of(venue, row) if "positions" in request.tag else b""
        answer = Answer(tag=request.tag, status=200 if body else 0, body=body)
        out += trade.answered(answer, AT)
        waiting += trade.follow_ups() if hasattr(trade, "follow_ups") else ()
    (told,) = [event for event in out if isinstance(event, PositionReported) and event.lots]
    return told


def heard(venue: str, row: dict[str, Any]) -> list[Any]:
    """What comes of the same row on the private stream."""
    match venue:
        case "bybit":
            row = {"category": "linear", **row}
            row["entryPrice"] = row.pop("avgPrice")
            socket, frame = "private", {"id": "1", "topic": "position", "data": [row]}
        case "okx":
            arg = {"channel": "positions", "uid": "1"}
            socket, frame = "private", {"arg": arg, "data": [row]}
        case "kucoin":
            socket = "futures_private"
            frame = {
                "topic": "/contract/position:XBTUSDTM", "type": "message", "data": row,
                "subject": "position.change",
            }  # fmt: skip
        case _:
            socket = "private"
            frame = {"table": "position", "action": "partial", "data": [row]}
    return list(a_trade(venue).decode(socket, json.dumps(frame).encode(), AT))


def pushed(venue: str, row: dict[str, Any]) -> PositionReported:
    (told,) = [event for event in heard(venue, row) if isinstance(event, PositionReported)]
    return told


Told = tuple[str | None, int | None]
CASES: list[tuple[str, dict[str, Any], Told]] = [
    ("bybit", BYBIT, ("0", 1)),
    ("bybit", BYBIT | {"liqPrice": "41234.50", "adlRankIndicator": 5}, ("41234.50", 4)),
    ("bybit", BYBIT | {"adlRankIndicator": 0}, ("0", None)),
    ("binance", BINANCE, ("0", 2)),
    ("binance", BINANCE | {"liquidationPrice": "63001.5", "adl": 4}, ("63001.5", 4)),
    ("binance", BINANCE | {"liquidationPrice": "-12.5", "adl": None}, ("0", None)),
    ("okx", OKX, ("97811.2", 0)),
    ("okx", OKX | {"liqPx": "", "adl": "5"}, ("0", 4)),
    ("okx", OKX | {"adl": "0"}, ("97811.2", 0)),
    ("okx", OKX | {"adl": ""}, ("97811.2", None)),
    ("kucoin", KUCOIN, ("73853.0", None)),
    ("kucoin", KUCOIN | {"liquidationPrice": 0, "delevPercentage": 0.2}, ("0", 0)),
    ("kucoin", KUCOIN | {"delevPercentage": 1.0}, ("73853.0", 4)),
    ("bitmex", BITMEX, ("89500.5", 1)),
    ("bitmex", BITMEX | {"deleveragePercentile": 1}, ("89500.5", 4)),
    ("bitmex", BITMEX | {"liquidationPrice": None, "deleveragePercentile": None}, (None, None)),
]


def same(told: PositionReported, expected: Told) -> bool:
    price = None if expected[0] is None else Decimal(expected[0])
    return (told.liquidation, told.adl_rank) == (price, expected[1])


@pytest.mark.parametrize(("venue", "row", "expected"), CASES)
def test_an_account_check_tells_liquidation_price_and_rank(
    venue: str, row: dict[str, Any], expected: Told
) -> None:
    told = asked(venue, row)
    assert same(told, expected), told


@pytest.mark.parametrize(
    ("venue", "row", "expected"), [case for case in CASES if case[0] != "binance"]
)
def test_the_stream_of_positions_tells_the_same(
    venue: str, row: dict[str, Any], expected: Told
) -> None:
    told = pushed(venue, row)
    assert same(told, expected), told


def test_a_stream_that_has_no_such_field_says_nothing_of_it() -> None:
    position = {"s": "BTCUSDT", "pa": "-0.010", "ep": "60100.0", "mt": "cross", "ps": "BOTH"}
    frame = {"e": "ACCOUNT_UPDATE", "E": 1, "T": 1, "a": {"m": "ORDER", "B": [], "P": [position]}}
    (told,) = a_trade("binance").decode("usdm_user", json.dumps(frame).encode(), AT)
    assert told.lots == -10 and (told.liquidation, told.adl_rank) == (None, None)
    for venue, row, gone in (
        ("bybit", BYBIT, ("liqPrice", "adlRankIndicator")),
        ("okx", OKX, ("liqPx", "adl")),
        ("kucoin", KUCOIN, ("liquidationPrice",)),
        ("bitmex", BITMEX, ("liquidationPrice", "deleveragePercentile")),
    ):
        rest = {name: value for name, value in row.items() if name not in gone}
        assert same(pushed(venue, rest), (None, None)), venue


def test_two_parts_of_one_position_have_no_liquidation_price_in_common() -> None:
    trade = a_trade("okx")
    rows = [OKX, OKX | {"mgnMode": "isolated", "liqPx": "95000"}]
    frame = {"arg": {"channel": "positions", "uid": "1"}, "data": rows}
    told = trade.decode("private", json.dumps(frame).encode(), AT)[-1]
    assert told.lots == -100 and (told.liquidation, told.adl_rank) == (None, None)


@pytest.mark.parametrize(
    ("venue", "row"),
    [
        ("bybit", BYBIT | {"liqPrice": "soon"}),
        ("okx", OKX | {"liqPx": "nan"}),
        ("kucoin", KUCOIN | {"liquidationPrice": "1e9999"}),
        ("bitmex", BITMEX | {"liquidationPrice": 1e99}),
    ],
)
def test_a_liquidation_price_that_is_no_number_is_told_and_never_guessed(
    venue: str, row: dict[str, Any]
) -> None:
    (told,) = heard(venue, row)
    assert isinstance(told, FrameRejected)
