"""What our key may do, position mode, leverage, dead man's switch, and the account of COIN-M."""

import json
from decimal import Decimal
from typing import Any

import pytest
from binance_desk import AT, NOW_MS, error, kinds, params, trade
from binance_material import SPOT, USDM, instrument

from oneprice.model.commands import QueryAccount, QueryKey, SetLeverage, SetPositionMode
from oneprice.model.events import (
    AccountChecked,
    BalanceReported,
    FrameRejected,
    FundingBooked,
    KeyReported,
    LeverageReported,
    PositionModeReported,
    PositionReported,
)
from oneprice.venues.binance import SPEC, BinanceSettings
from oneprice.venues.contract import FEATURES, Ack, Answer

COIN = instrument("coinm", "BTCUSD_PERP", "0.1", "1")
OTHER = instrument("coinm", "ETHUSD_PERP", "0.01", "1", "ETH")
RIGHTS = {
    "ipRestrict": True, "createTime": 1, "enableReading": True, "enableWithdrawals": False,
    "enableInternalTransfer": False, "enableMargin": False, "enableFutures": True,
    "enableSpotAndMarginTrading": False,
}  # fmt: skip


def desk(**options: Any) -> Any:
    return trade(BinanceSettings(**options), COIN, OTHER)


# The key -----------------------------------------------------------------------------------


def asked_key(body: Any, status: int = 200) -> tuple[Any, list[Any]]:
    side = desk()
    (request,) = side.encode(QueryKey(venue="binance"), AT)
    assert (request.host, request.path) == ("spot_rest", "/sapi/v1/account/apiRestrictions")
    said = body if isinstance(body, bytes) else json.dumps(body).encode()
    return side, list(side.answered(Answer(tag=request.tag, status=status, body=said), AT))


def test_a_key_is_told_with_its_rights() -> None:
    side, (event,) = asked_key(RIGHTS)
    assert (event.may_trade, event.may_withdraw, event.addresses) == (True, False, ("not told",))
    assert not side.follow_ups()


def test_what_is_not_told_of_a_key_counts_as_permitted() -> None:
    _, (event,) = asked_key({})
    assert (event.may_trade, event.may_withdraw, event.addresses) == (True, True, ())


def test_where_there_is_no_such_question_the_account_is_asked() -> None:
    side, events = asked_key(b"<html>404</html>", 404)
    assert events == []
    (second,) = side.follow_ups()
    assert second.path == "/api/v3/account" and second.signed
    body = json.dumps({"canTrade": True, "canWithdraw": False, "balances": []}).encode()
    (event,) = side.answered(Answer(tag=second.tag, status=200, body=body), AT)
    assert event == KeyReported(at=AT, venue="binance", may_trade=True, may_withdraw=False)


@pytest.mark.parametrize(
    ("status", "body"), [(0, b""), (401, error(-2015, "Invalid API-key")), (200, b"[]")]
)
def test_a_key_that_cannot_be_asked_is_told_so(status: int, body: bytes) -> None:
    side, (event,) = asked_key(body, status)
    assert isinstance(event, FrameRejected) and not side.follow_ups()


# Position mode and leverage ------------------------------------------------------------------


@pytest.mark.parametrize("market", ["usdm", "coinm"])
@pytest.mark.parametrize(("status", "code", "told"), [(200, 200, True), (400, -4059, True),
                                                      (400, -4068, False)])  # fmt: skip
def test_a_position_mode_that_is_set_or_was_so_is_told(
    market: str, status: int, code: int, told: bool
) -> None:
    side = desk()
    command = SetPositionMode(venue="binance", market=market, mode="one_way")
    (request,) = side.encode(command, AT)
    assert request.method == "POST" and params(request)["dualSidePosition"] == "false"
    answer = Answer(tag=request.tag, status=status, body=error(code, "text"))
    (event,) = side.answered(answer, AT)
    if told:
        assert event == PositionModeReported(at=AT, venue="binance", market=market, mode="one_way")
    else:
        assert isinstance(event, FrameRejected)


def test_spot_and_single_symbols_have_no_position_mode() -> None:
    for market, symbol, problem in (("spot", "", "only futures"), ("usdm", "X", "one for all")):
        command = SetPositionMode(venue="binance", market=market, mode="hedge", symbol=symbol)
        with pytest.raises(ValueError, match=problem):
            desk().encode(command, AT)


@pytest.mark.parametrize("item", [USDM, COIN])
def test_leverage_that_is_set_is_told(item: Any) -> None:
    side = desk()
    (request,) = side.encode(SetLeverage(instrument=item.id, leverage=Decimal("3.0")), AT)
    assert params(request) == {"symbol": item.symbol, "leverage": "3"}
    body = json.dumps({"leverage": 3, "maxNotionalValue": "1", "symbol": item.symbol}).encode()
    (event,) = side.answered(Answer(tag=request.tag, status=200, body=body), AT)
    assert event == LeverageReported(at=AT, instrument=item.id, leverage=Decimal(3))
    wrong = body.replace(item.symbol.encode(), b"ELSE")
    (event,) = side.answered(Answer(tag=request.tag, status=200, body=wrong), AT)
    assert isinstance(event, FrameRejected)


@pytest.mark.parametrize(("item", "leverage"), [(USDM, "2.5"), (USDM, "0"), (SPOT, "2")])
def test_leverage_that_cannot_be_is_never_sent(item: Any, leverage: str) -> None:
    with pytest.raises(ValueError, match=r"leverage|only futures"):
        desk().encode(SetLeverage(instrument=item.id, leverage=Decimal(leverage)), AT)


# The account of COIN-M -----------------------------------------------------------------------

PARTS = {
    "open": [],
    "balances": [
        {"accountAlias": "a", "asset": "BTC", "balance": "0.50000000",
         "withdrawAvailable": "0.4", "availableBalance": "0.40000000"},
        {"asset": "ETH", "balance": "0.0", "availableBalance": "0.0"},
    ],
    "positions": [
        {"symbol": "BTCUSD_PERP", "positionAmt": "-7", "entryPrice": "60000.1", "leverage": "20",
         "marginType": "isolated", "positionSide": "BOTH"},
        {"symbol": "ETHUSD_PERP", "positionAmt": "0", "entryPrice": "0.0", "leverage": "10",
         "marginType": "cross", "positionSide": "BOTH"},
        {"symbol": "DOGEUSD_PERP", "positionAmt": "0", "positionSide": "BOTH"},
    ],
    "mode": {"dualSidePosition": True},
    "fee:BTCUSD_PERP": {"symbol": "BTCUSD_PERP", "makerCommissionRate": "0.0001",
                        "takerCommissionRate": "0.0005"},
}  # fmt: skip
INCOME = [
    {"symbol": "BTCUSD_PERP", "incomeType": "FUNDING_FEE", "income": "0.00000123",
     "asset": "BTC", "time": 1790006400000, "tranId": 9}
]  # fmt: skip


def test_the_account_of_coin_margined_contracts_is_checked_like_any_other() -> None:
    side = desk(wanted=(COIN.id,))
    events: list[Any] = []
    for request in side.encode(QueryAccount(venue="binance", market="coinm"), AT):
        assert request.host == "coinm_rest" and request.path.startswith("/dapi/v1/")
        part = request.tag.split(":", 3)[-1]
        body = json.dumps(PARTS.get(part, INCOME)).encode()
        events += side.answered(Answer(tag=request.tag, status=200, body=body), AT)
    assert kinds(events) == [
        "BalanceReported", "PositionReported", "LeverageReported", "PositionModeReported",
        "FeesReported", "FundingBooked", "AccountChecked",
    ]  # fmt: skip
    balance, place, leverage, mode, fees, funding, checked = events
    assert isinstance(balance, BalanceReported)
    assert (balance.wallet, balance.asset, str(balance.total)) == ("coinm", "BTC", "0.50000000")
    assert isinstance(place, PositionReported) and (place.instrument, place.lots) == (COIN.id, -7)
    assert (leverage.leverage, leverage.margin) == (20, "isolated")
    assert (mode.market, mode.mode) == ("coinm", "hedge") and fees.market == "coinm"
    assert isinstance(funding, FundingBooked) and funding.instrument == COIN.id
    assert isinstance(checked, AccountChecked) and checked.market == "coinm"


def test_an_unlisted_position_is_told_and_an_unlisted_nothing_is_not() -> None:
    side = desk(wanted=(COIN.id,))
    tag = next(
        each.tag
        for each in side.encode(QueryAccount(venue="binance", market="coinm"), AT)
        if each.tag.endswith(":positions")
    )
    rows = [{"symbol": "DOGEUSD_PERP", "positionAmt": "3", "positionSide": "BOTH"}]
    rejected, flat = side.answered(Answer(tag=tag, status=200, body=json.dumps(rows).encode()), AT)
    assert isinstance(rejected, FrameRejected) and "DOGEUSD_PERP" in rejected.reason
    assert isinstance(flat, PositionReported) and flat.lots == 0


def test_a_user_socket_of_coin_margined_contracts_tells_its_own_wallet() -> None:
    side = desk()
    (request,) = side.login("coinm_user")
    signed = side.sign(request, NOW_MS)
    assert (signed.path, signed.query) == ("/dapi/v1/listenKey", "")
    (ack,) = side.answered(Answer(tag=request.tag, status=200, body=b'{"listenKey":"pq"}'), AT)
    assert ack == Ack(socket="coinm_user", kind="key", text="pq")
    update = {
        "e": "ACCOUNT_UPDATE", "E": 1, "T": 1,
        "a": {"m": "ORDER", "B": [{"a": "BTC", "wb": "0.5"}],
              "P": [{"s": "BTCUSD_PERP", "pa": "5", "ep": "60000.1", "ps": "BOTH"}]},
    }  # fmt: skip
    balance, place = side.decode("coinm_user", json.dumps(update).encode(), AT)
    assert (balance.wallet, balance.asset) == ("coinm", "BTC")
    assert (place.instrument, place.lots) == (COIN.id, 5)


# Kept alive ----------------------------------------------------------------------------------


def test_only_what_is_wanted_is_kept_alive() -> None:
    def tags(**options: Any) -> list[str]:
        return [request.tag for _, request in desk(**options).keep_alive()]

    assert tags(wanted=(SPOT.id,)) == []
    assert tags(wanted=(SPOT.id, USDM.id)) == ["keepalive:usdm", "income:usdm"]
    assert tags(wanted=(COIN.id,)) == ["keepalive:coinm", "income:coinm"]
    assert len(tags()) == 4


def test_a_dead_mans_switch_is_renewed_for_every_wanted_contract() -> None:
    side = desk(wanted=(SPOT.id, USDM.id, COIN.id), dead_man_ms=120_000)
    switches = [each for each in side.keep_alive() if each[1].tag.startswith("dead_man:")]
    assert [(every, request.path, params(request)) for every, request in switches] == [
        (30_000, path, {"symbol": item.symbol, "countdownTime": "120000"})
        for item, path in (
            (USDM, "/fapi/v1/countdownCancelAll"),
            (COIN, "/dapi/v1/countdownCancelAll"),
        )
    ]
    tag = switches[0][1].tag
    body = b'{"symbol":"BTCUSDT","countdownTime":"120000"}'
    assert side.answered(Answer(tag=tag, status=200, body=body), AT) == []
    (event,) = side.answered(Answer(tag=tag, status=0, detail="timeout"), AT)
    assert isinstance(event, FrameRejected)
    with pytest.raises(ValueError, match="dead_man_ms"):
        BinanceSettings(dead_man_ms=500)


# Facts ---------------------------------------------------------------------------------------


def test_features_are_words_of_the_contract_and_buckets_are_declared() -> None:
    assert set(FEATURES) >= SPEC.features
    buckets = {limit.bucket: limit for limit in SPEC.limits}
    for socket in SPEC.sockets:
        assert {bucket for bucket, _ in socket.connect_cost} <= set(buckets)
        assert socket.connect_cost and socket.host in SPEC.hosts["live"]
    assert buckets["connects:spot"].count == 150  # half of what is documented
    doors = {socket.name: socket.door for socket in SPEC.sockets if socket.door != "none"}
    assert doors == {"usdm_user": "key", "coinm_user": "key"}
    assert not any(spec.market == "coinm" and spec.role == "orders" for spec in SPEC.sockets)


@pytest.mark.parametrize(
    "frame",
    [b"[" * 100_000, b'{"data":' * 50_000, b'{"e":"' + b"x" * 10_000_000],
    ids=["lists", "objects", "huge"],
)
def test_deep_and_huge_frames_are_rejected_and_nothing_else(frame: bytes) -> None:
    for socket in ("spot_user", "usdm_user", "coinm_user", "usdm_orders"):
        (event,) = desk().decode(socket, frame, AT)
        assert isinstance(event, FrameRejected) and len(event.excerpt) <= 320
