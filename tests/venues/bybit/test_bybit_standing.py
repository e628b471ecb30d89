"""What our key may do, position mode, leverage, dead man's switch, environments."""

from decimal import Decimal
from typing import Any

import msgspec
import pytest
from test_bybit_batches import AT, INVERSE, LINEAR, LISTED, SPOT, trade_of

from oneprice.model.commands import QueryAccount, QueryKey, SetLeverage, SetPositionMode
from oneprice.model.events import (
    AccountChecked,
    FrameRejected,
    KeyReported,
    LeverageReported,
    PositionModeReported,
    PositionReported,
)
from oneprice.venues.bybit import SPEC
from oneprice.venues.bybit.trade import BybitSettings, BybitTrade
from oneprice.venues.contract import FEATURES, Answer, Credentials, Request

KEY = {
    "id": "2208369", "note": "arb", "apiKey": "simkey0001", "readOnly": 0,
    "permissions": {"ContractTrade": ["Order", "Position"], "Spot": ["SpotTrade"], "Wallet": [],
                    "Derivatives": ["DerivativesTrade"]},
    "ips": ["203.0.113.7"], "type": 1, "deadlineDay": -2, "expiredAt": "1970-01-01T00:00:00Z",
    "createdAt": "2026-10-01T00:00:00Z", "uta": 1, "userID": 1448939,
}  # fmt: skip


def replied(request: Request, result: Any, code: int = 0, text: str = "OK") -> Answer:
    body = {"retCode": code, "retMsg": text, "result": result, "retExtInfo": {}, "time": 1}
    return Answer(tag=request.tag, status=200, body=msgspec.json.encode(body))


def key(**changes: Any) -> Any:
    trade = trade_of()
    (request,) = trade.encode(QueryKey(venue="bybit"), AT)
    assert (request.path, request.signed) == ("/v5/user/query-api", True)
    (event,) = trade.answered(replied(request, KEY | changes), AT)
    return event


def test_a_key_is_told_with_its_rights_and_addresses() -> None:
    assert key() == KeyReported(
        at=AT, venue="bybit", may_trade=True, may_withdraw=False, addresses=("203.0.113.7",)
    )


@pytest.mark.parametrize(
    ("changes", "trades", "withdraws"),
    [
        ({"readOnly": 1}, False, False),
        ({"permissions": {"Wallet": ["AccountTransfer", "Withdraw"]}}, False, True),
        ({"permissions": {"Spot": ["SpotTrade"]}}, True, True),  # nothing is told of the wallet
        ({"permissions": None}, True, True),
    ],
)
def test_what_a_key_may_do_counts_as_permitted_unless_it_is_told(
    changes: Any, trades: bool, withdraws: bool
) -> None:
    event = key(**changes)
    assert (event.may_trade, event.may_withdraw) == (trades, withdraws)


def test_a_key_that_expires_says_when_and_any_address_is_none() -> None:
    event = key(expiredAt="2027-02-28T23:59:59Z", ips=["*"])
    assert (event.expires_ms, event.addresses) == (1_803_859_199_000, ())
    assert isinstance(key(expiredAt="soon"), FrameRejected)


# Position mode and leverage ----------------------------------------------------------------


@pytest.mark.parametrize(("code", "kind"), [(0, True), (110025, True), (110024, False)])
def test_a_position_mode_that_is_set_or_was_so_is_told(code: int, kind: bool) -> None:
    trade = trade_of()
    command = SetPositionMode(venue="bybit", market="linear", mode="one_way", symbol="BTCUSDT")
    (request,) = trade.encode(command, AT)
    assert msgspec.json.decode(request.body) == {
        "category": "linear", "symbol": "BTCUSDT", "mode": 0,
    }  # fmt: skip
    (event,) = trade.answered(replied(request, {}, code), AT)
    assert isinstance(event, PositionModeReported if kind else FrameRejected)
    if isinstance(event, PositionModeReported):
        assert (event.market, event.mode, event.symbol) == ("linear", "one_way", "BTCUSDT")


def test_the_mode_of_all_symbols_is_set_by_coin_where_there_is_one() -> None:
    trade = trade_of()
    (request,) = trade.encode(SetPositionMode(venue="bybit", market="linear", mode="hedge"), AT)
    assert msgspec.json.decode(request.body) == {"category": "linear", "coin": "USDT", "mode": 3}
    for market, problem in (("inverse", "name a symbol"), ("spot", "linear or inverse")):
        with pytest.raises(ValueError, match=problem):
            trade.encode(SetPositionMode(venue="bybit", market=market, mode="hedge"), AT)


@pytest.mark.parametrize("code", [0, 110043])
def test_leverage_that_is_set_or_was_so_is_told(code: int) -> None:
    trade = trade_of()
    command = SetLeverage(instrument=INVERSE, leverage=Decimal("2.50"))
    (request,) = trade.encode(command, AT)
    said = msgspec.json.decode(request.body)
    assert (said["buyLeverage"], said["sellLeverage"], said["category"]) == (
        "2.5", "2.5", "inverse",
    )  # fmt: skip
    (event,) = trade.answered(replied(request, {}, code), AT)
    assert event == LeverageReported(at=AT, instrument=INVERSE, leverage=Decimal("2.5"))
    with pytest.raises(ValueError, match="spot has no leverage"):
        trade.encode(SetLeverage(instrument=SPOT, leverage=Decimal(2)), AT)


def account(rows: dict[str, list[Any]], margin: str = "REGULAR_MARGIN") -> list[Any]:
    trade = trade_of(BybitSettings(wanted=(LINEAR, SPOT)))
    events: list[Any] = []
    for request in trade.encode(QueryAccount(venue="bybit", market="linear"), AT):
        what = request.tag.split(":")[2]
        result = {"list": rows.get(what, []), "nextPageCursor": "", "marginMode": margin}
        events += trade.answered(replied(request, result), AT)
    return events


FLAT = {"positionIdx": 0, "symbol": "BTCUSDT", "side": "", "size": "0", "leverage": "3"}


def test_an_account_tells_mode_and_leverage_of_what_we_want_even_flat() -> None:
    events = account({"positions.BTCUSDT": [FLAT]})
    assert [type(e) for e in events] == [
        PositionReported, PositionModeReported, LeverageReported, AccountChecked,
    ]  # fmt: skip
    flat, mode, leverage, _ = events
    assert flat.lots == 0 and mode.mode == "one_way" and mode.symbol == "BTCUSDT"
    assert (leverage.leverage, leverage.margin) == (3, "cross")
    (leverage,) = [
        e for e in account({"positions.BTCUSDT": [FLAT]}, "ISOLATED_MARGIN")
        if isinstance(e, LeverageReported)
    ]  # fmt: skip
    assert leverage.margin == "isolated"


def test_an_empty_pair_of_positions_tells_hedge_mode() -> None:
    pair = [FLAT | {"positionIdx": 1}, FLAT | {"positionIdx": 2}]
    events = account({"positions.BTCUSDT": pair})
    (mode,) = [e for e in events if isinstance(e, PositionModeReported)]
    assert mode.mode == "hedge" and isinstance(events[-1], AccountChecked)
    assert not any(isinstance(e, PositionReported) for e in events)


def test_half_a_pair_that_is_held_leaves_the_account_unchecked_and_tells_the_mode() -> None:
    half = FLAT | {"positionIdx": 1, "side": "Buy", "size": "0.004"}
    events = account({"positions.BTCUSDT": [half]})
    assert any(isinstance(e, FrameRejected) for e in events)
    assert any(isinstance(e, PositionModeReported) and e.mode == "hedge" for e in events)
    assert not any(isinstance(e, AccountChecked) for e in events)


# Dead man's switch -------------------------------------------------------------------------


def test_a_dead_mans_switch_is_armed_by_topics_and_kept_by_requests() -> None:
    trade = trade_of(BybitSettings(dead_man_ms=10_000))
    topics = [msgspec.json.decode(r.body)["args"] for r in trade.login("private") if not r.signed]
    assert topics == [["order", "execution", "position", "wallet"], ["dcp.future", "dcp.spot"]]
    kept = [request for _, request in trade.keep_alive() if not request.socket]
    said = [msgspec.json.decode(request.body) for request in kept]
    assert said == [
        {"product": "DERIVATIVES", "timeWindow": 10},
        {"product": "SPOT", "timeWindow": 10},
    ]
    for request in kept:
        assert trade.answered(replied(request, {}), AT) == []
        (refused,) = trade.answered(replied(request, {}, 10005, "Permission denied"), AT)
        assert isinstance(refused, FrameRejected) and refused.reason == "no_permission"
    assert trade_of().keep_alive() == () and len(trade_of().login("private")) == 2
    pings = [(every, r.body) for every, r in trade.keep_alive() if r.socket == "private"]
    assert pings == [(3_333, b'{"op":"ping"}')]  # its silence would count as its death
    slow = trade_of(BybitSettings(dead_man_ms=60_000)).keep_alive()
    assert not any(request.socket for _, request in slow)
    with pytest.raises(ValueError, match="dead_man_ms"):
        BybitSettings(dead_man_ms=1000)


# Facts -------------------------------------------------------------------------------------


def test_features_are_words_of_the_contract_and_buckets_are_declared() -> None:
    assert set(FEATURES) >= SPEC.features
    buckets = [limit.bucket for limit in SPEC.limits]
    assert len(set(buckets)) == len(buckets)
    for socket in SPEC.sockets:
        assert {bucket for bucket, _ in socket.connect_cost} <= set(buckets)
        assert all(socket.host in hosts for hosts in SPEC.hosts.values())
    connects = next(limit for limit in SPEC.limits if limit.bucket == "connects")
    assert (connects.count, connects.per_ms) == (250, 300_000)


def test_the_demo_takes_live_prices_and_its_own_account() -> None:
    live, demo = SPEC.hosts["live"], SPEC.hosts["demo"]
    assert demo["ws"] == live["ws"]
    assert demo["rest"] == "https://api-demo.bybit.com"
    assert demo["ws_private"] == "wss://stream-demo.bybit.com"
    hosts = {socket.name: socket.host for socket in SPEC.sockets}
    assert hosts["private"] == "ws_private" and hosts["linear"] == "ws"


@pytest.mark.parametrize(
    "frame", [b"[" * 100_000, b'{"topic":' * 50_000, b'{"data":"' + b"x" * 10_000_000]
)
def test_deep_and_huge_frames_are_rejected_and_nothing_else(frame: bytes) -> None:
    trade = BybitTrade(Credentials("k", "s"), LISTED)
    for socket in ("private", "trade"):
        (event,) = trade.decode(socket, frame, AT)
        assert isinstance(event, FrameRejected) and len(event.excerpt) <= 320
