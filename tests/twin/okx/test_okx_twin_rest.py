"""REST of the OKX twin: signatures, refusals, market data, orders, account, limits."""

from decimal import Decimal
from typing import Any

import pytest

from oneprice.twin.dialects.okx.auth import signature

SECOND = 1_000_000_000
SWAP = "instId=BTC-USDT-SWAP"


# Who is asking ----------------------------------------------------------------------------


def test_signatures_are_those_of_the_documents() -> None:
    secret = "TESTSECRET0123456789ABCDEF"
    text = "2026-01-02T03:04:05.678ZGET/api/v5/account/balance?ccy=BTC"
    assert signature(secret, text) == "uAjkLRCamTvRJ6kmw6W8VhE1XjupNPzZ1S67HcGiYSA="
    body = (
        '{"instId":"BTC-USDT-SWAP","tdMode":"cross","side":"buy","ordType":"limit",'
        '"px":"90000","sz":"0.01","clOrdId":"arb1"}'
    )
    text = f"2026-01-02T03:04:05.678ZPOST/api/v5/trade/order{body}"
    assert signature(secret, text) == "q6YEMkW2o1Atxl+eL+mEw9DuY1MyASJbTRdq9u83GUo="
    text = "1767323045GET/users/self/verify"
    assert signature(secret, text) == "zNgIVN86pb+jcCqexl9ri7dNgKykaSOFvOax1EjIPqo="


WRONG_CREDENTIALS: list[tuple[dict[str, str], str]] = [
    ({"without": "OK-ACCESS-KEY"}, "50103"),
    ({"without": "OK-ACCESS-SIGN"}, "50106"),
    ({"without": "OK-ACCESS-TIMESTAMP"}, "50107"),
    ({"without": "OK-ACCESS-PASSPHRASE"}, "50104"),
    ({"stamp": "1767323045"}, "50112"),
    ({"stamp": "2026-13-45T00:00:00.000Z"}, "50112"),
    ({"key": "no_such!"}, "50111"),
    ({"key": "unknown-key"}, "50119"),
    ({"demo": "1"}, "50101"),
    ({"phrase": "wrong"}, "50105"),
    ({"secret": "wrong"}, "50113"),
    ({"key": "bound001"}, "50110"),
]


async def test_refuses_each_wrong_credential_by_its_code(venue: Any) -> None:
    for changed, code in WRONG_CREDENTIALS:
        answer = await venue.get("account/balance", **changed)
        assert (answer["code"], venue.status) == (code, 401), changed
        assert "data" not in answer


async def test_accepts_a_clock_that_is_off_by_less_than_thirty_seconds(venue: Any) -> None:
    for offset, code in ((-29, "0"), (29, "0"), (-31, "50102"), (31, "50102")):
        answer = await venue.get("account/balance", stamp=venue.stamp(offset))
        assert answer["code"] == code, offset


async def test_a_key_that_may_only_read_reads_but_does_not_trade(venue: Any) -> None:
    row = (await venue.get("account/config", key="reader01"))["data"][0]
    assert row["perm"] == "read_only"
    answer = await venue.post("trade/order", {"instId": "BTC-USDT"}, key="reader01")
    assert answer["code"] == "50120"


async def test_unknown_paths_and_methods_get_an_answer_of_their_own(venue: Any) -> None:
    await venue.get("trade/nothing")
    assert venue.status == 404
    answer = await venue.get("trade/cancel-order")
    assert (venue.status, answer["code"]) == (405, "50115")


async def test_the_sixth_request_of_five_in_two_seconds_is_refused(venue: Any) -> None:
    codes = [(await venue.get("account/config"))["code"] for _ in range(6)]
    assert codes == ["0"] * 5 + ["50011"]
    assert venue.status == 429
    venue.clock.offset += 2 * SECOND
    assert (await venue.get("account/config"))["code"] == "0"


# Market -----------------------------------------------------------------------------------


async def test_lists_contracts_with_their_codes_and_sizes(wide: Any) -> None:
    rows = {row["instId"]: row for row in await wide.rows("public/instruments", "instType=SWAP")}
    linear, inverse = rows["BTC-USDT-SWAP"], rows["BTC-USD-SWAP"]
    assert (linear["ctVal"], linear["ctValCcy"], linear["settleCcy"]) == ("0.01", "BTC", "USDT")
    assert (linear["lotSz"], linear["minSz"], linear["tickSz"]) == ("0.01", "0.01", "0.1")
    assert (inverse["ctVal"], inverse["ctValCcy"], inverse["settleCcy"]) == ("100", "USD", "BTC")
    assert (linear["instIdCode"], inverse["instIdCode"]) == (10459, 10458)
    assert (inverse["ctType"], linear["state"]) == ("inverse", "live")
    answer = await wide.get("public/instruments", "instType=OPTION")
    assert answer["code"] == "50015"


async def test_books_come_in_the_asked_depth_with_a_sequence(venue: Any) -> None:
    row = (await venue.rows("market/books", f"{SWAP}&sz=7"))[0]
    assert len(row["bids"]) == len(row["asks"]) == 7
    assert Decimal(row["bids"][0][0]) < Decimal(row["asks"][0][0])
    assert isinstance(row["seqId"], int) and len(row["asks"][0]) == 4
    assert len((await venue.rows("market/books", SWAP))[0]["bids"]) == 1
    assert len((await venue.rows("market/books-full", f"{SWAP}&sz=9"))[0]["asks"][0]) == 3
    assert (await venue.get("market/books", "instId=NO-PE"))["code"] == "51001"
    assert (await venue.get("market/books", f"{SWAP}&sz=401"))["code"] == "51000"


async def test_candles_page_backwards_and_begin_where_the_venue_cuts_them(venue: Any) -> None:
    rows = await venue.rows("market/candles", f"{SWAP}&bar=1m&limit=5")
    starts = [int(row[0]) for row in rows]
    assert starts == sorted(starts, reverse=True) and len(rows[0]) == 9
    assert [row[8] for row in rows] == ["0", "1", "1", "1", "1"]
    older = await venue.rows("market/candles", f"{SWAP}&bar=1m&limit=2&after={starts[2]}")
    assert [int(row[0]) for row in older] == starts[3:5]
    newer = await venue.rows("market/candles", f"{SWAP}&bar=1m&before={starts[2]}")
    assert [int(row[0]) for row in newer] == starts[:2]
    hours = {"1D": 16, "1Dutc": 0, "6H": 4, "12H": 4}
    for bar, hour in hours.items():
        start = int((await venue.rows("market/candles", f"{SWAP}&bar={bar}&limit=1"))[0][0])
        span = {"1D": 24, "1Dutc": 24, "6H": 6, "12H": 12}[bar]
        assert start // 3_600_000 % span == hour % span, bar
    index = await venue.rows("market/index-candles", "instId=BTC-USDT&limit=1")
    assert len(index[0]) == 6
    assert (await venue.get("market/candles", f"{SWAP}&bar=7m"))["code"] == "51000"


async def test_funding_tells_this_period_only_and_history_newest_first(venue: Any) -> None:
    row = (await venue.rows("public/funding-rate", SWAP))[0]
    assert row["nextFundingRate"] == ""
    assert int(row["nextFundingTime"]) - int(row["fundingTime"]) == 60_000
    assert int(row["fundingTime"]) > venue.clock() // 1_000_000
    history = await venue.rows("public/funding-rate-history", f"{SWAP}&limit=3")
    times = [int(one["fundingTime"]) for one in history]
    assert times == sorted(times, reverse=True) and "realizedRate" in history[0]
    older = await venue.rows("public/funding-rate-history", f"{SWAP}&after={times[1]}&limit=1")
    assert int(older[0]["fundingTime"]) == times[2]
    answer = await venue.get("public/funding-rate", "instId=BTC-USDT")
    assert answer["code"] == "51001"


async def test_prices_of_mark_index_limit_and_interest_agree_with_each_other(venue: Any) -> None:
    mark = (await venue.rows("public/mark-price", f"instType=SWAP&{SWAP}"))[0]["markPx"]
    index = (await venue.rows("market/index-tickers", "instId=BTC-USDT"))[0]["idxPx"]
    assert abs(Decimal(mark) / Decimal(index) - 1) < Decimal("0.02")
    limit = (await venue.rows("public/price-limit", SWAP))[0]
    assert Decimal(limit["sellLmt"]) < Decimal(mark) < Decimal(limit["buyLmt"])
    interest = (await venue.rows("public/open-interest", "instType=SWAP"))[0]
    assert Decimal(interest["oiCcy"]) == Decimal(interest["oi"]) * Decimal("0.01")
    tiers = await venue.rows(
        "public/position-tiers", "instType=SWAP&tdMode=cross&instFamily=BTC-USDT"
    )
    assert tiers[0]["maxLever"] == "100" and Decimal(tiers[1]["mmr"]) > Decimal(tiers[0]["mmr"])


# Orders -----------------------------------------------------------------------------------


async def test_an_order_lives_is_amended_and_cancelled_by_client_id(venue: Any) -> None:
    price = await venue.below()
    made = await venue.order(px=price, clOrdId="arb1", tag="arb")
    assert (made["sCode"], made["clOrdId"], made["tag"]) == ("0", "arb1", "arb")
    by_name = {"instId": "BTC-USDT-SWAP", "clOrdId": "arb1"}
    changed = await venue.post("trade/amend-order", by_name | {"newSz": "2", "reqId": "r1"})
    assert (changed["data"][0]["reqId"], changed["data"][0]["ordId"]) == ("r1", made["ordId"])
    row = (await venue.rows("trade/orders-pending", "instType=SWAP"))[0]
    assert (row["sz"], row["state"], row["reduceOnly"]) == ("2", "live", "false")
    assert Decimal(row["px"]) == Decimal(price)
    gone = await venue.post("trade/cancel-order", by_name)
    assert gone["data"][0]["sCode"] == "0"
    row = (await venue.rows("trade/order", f"{SWAP}&clOrdId=arb1"))[0]
    assert (row["state"], row["cancelSource"]) == ("canceled", "1")
    again = await venue.post("trade/cancel-order", by_name)
    assert (again["code"], again["data"][0]["sCode"]) == ("1", "51400")
    late = await venue.post("trade/amend-order", by_name | {"newSz": "3"})
    assert late["data"][0]["sCode"] == "51503"


WRONG_ORDERS: list[tuple[dict[str, Any], str]] = [
    ({"instId": "NO-USDT-SWAP"}, "51001"),
    ({"tdMode": "cash"}, "51010"),
    ({"side": "up"}, "51000"),
    ({"ordType": "mmp"}, "51000"),
    ({"posSide": "long"}, "51000"),
    ({"clOrdId": "a_b"}, "51000"),
    ({"sz": "0.001"}, "51020"),
    ({"sz": "0.015"}, "51121"),
    ({"sz": "-1"}, "51000"),
    ({"sz": ""}, "50014"),
    ({"sz": "1000000"}, "51202"),
    ({"sz": "30000"}, "51008"),
    ({"ordType": "limit"}, "51000"),
    ({"px": "50000.05"}, "51150"),
    ({"px": "10"}, "51138"),
    ({"px": "1000000", "side": "buy"}, "51137"),
    ({"reduceOnly": True}, "51169"),
    ({"instId": "BTC-USDT", "reduceOnly": True}, "51205"),
    ({"instId": "BTC-USDT", "sz": "1", "side": "buy", "tgtCcy": "coins"}, "51000"),
    ({"instId": "BTC-USDT", "sz": "9", "side": "sell"}, "51008"),
    ({"instId": "BTC-USDT", "sz": "1000001"}, "51202"),
    ({"instId": "BTC-USDT", "sz": "0.000001", "px": "50000"}, "51020"),
    ({"attachAlgoOrds": [{"tpTriggerPx": "1"}]}, "51000"),
]


async def test_refuses_each_wrong_order_by_its_code(venue: Any) -> None:
    for fields, code in WRONG_ORDERS:
        side = "sell" if fields.get("px") == "10" else "buy"
        verdict = await venue.order(**({"side": side} | fields))
        assert verdict["sCode"] == code, (fields, verdict)
        assert verdict["ordId"] == ""


async def test_a_client_id_is_refused_while_its_order_lives_even_elsewhere(wide: Any) -> None:
    await wide.order(px=await wide.below(), clOrdId="same")
    verdict = await wide.order(instId="ETH-USDT-SWAP", clOrdId="same")
    assert verdict["sCode"] == "51016"


async def test_a_batch_answers_in_order_and_says_that_part_of_it_failed(venue: Any) -> None:
    price = await venue.below()
    usual = {"instId": "BTC-USDT-SWAP", "tdMode": "cross", "side": "buy", "ordType": "limit"}
    items = [
        usual | {"px": price, "sz": "1", "clOrdId": "a1"},
        usual | {"px": price, "sz": "0.001", "clOrdId": "a2"},
    ]
    answer = await venue.post("trade/batch-orders", items)
    assert (answer["code"], [one["sCode"] for one in answer["data"]]) == ("2", ["0", "51020"])
    assert [one["clOrdId"] for one in answer["data"]] == ["a1", "a2"]
    assert int(answer["outTime"]) >= int(answer["inTime"]) > 1_700_000_000_000_000
    too_many = await venue.post("trade/batch-orders", [items[0]] * 21)
    assert too_many["code"] == "51111"


async def test_post_only_fok_and_ioc_are_accepted_and_end_with_their_cancel_source(
    venue: Any,
) -> None:
    ask = (await venue.rows("market/ticker", "instId=BTC-USDT-SWAP"))[0]["askPx"]
    above = await venue.below(factor="1.01")
    for kind, price, size, source in (("post_only", above, "1", "31"), ("fok", ask, "2500", "13")):
        verdict = await venue.order(px=price, ordType=kind, sz=size)
        assert verdict["sCode"] == "0"
        row = (await venue.rows("trade/order", f"{SWAP}&ordId={verdict['ordId']}"))[0]
        assert (row["state"], row["cancelSource"], row["ordType"]) == ("canceled", source, kind)
        assert row["accFillSz"] == "0"
    low = await venue.below()
    verdict = await venue.order(px=low, ordType="ioc")
    row = (await venue.rows("trade/order", f"{SWAP}&ordId={verdict['ordId']}"))[0]
    assert (row["state"], row["cancelSource"]) == ("canceled", "14")


async def test_an_expired_request_is_not_carried_out(venue: Any) -> None:
    past = str(venue.clock() // 1_000_000 - 1)
    body = {"instId": "BTC-USDT-SWAP", "tdMode": "cross", "side": "buy", "ordType": "market",
            "sz": "1"}  # fmt: skip
    answer = await venue.post("trade/order", body, expires=past)
    assert answer["code"] == "50036"
    assert await venue.rows("account/positions") == []


async def test_a_spot_market_buy_spends_quote_and_a_sale_is_in_base(venue: Any) -> None:
    bought = await venue.order(instId="BTC-USDT", tdMode="cash", sz="1000")
    row = (await venue.rows("trade/order", f"instId=BTC-USDT&ordId={bought['ordId']}"))[0]
    spent = Decimal(row["accFillSz"]) * Decimal(row["avgPx"])
    assert (row["tgtCcy"], row["sz"], row["feeCcy"]) == ("quote_ccy", "1000", "BTC")
    assert 990 < spent <= 1000
    assert abs(Decimal(row["fee"]) + Decimal(row["accFillSz"]) / 1000) <= Decimal("1e-8")
    sold = await venue.order(instId="BTC-USDT", tdMode="cross", side="sell", sz="0.5")
    row = (await venue.rows("trade/order", f"instId=BTC-USDT&ordId={sold['ordId']}"))[0]
    assert (row["accFillSz"], row["feeCcy"], row["state"]) == ("0.5", "USDT", "filled")


async def test_reduce_only_larger_than_the_position_is_refused_as_a_whole(venue: Any) -> None:
    await venue.order(sz="2")
    verdict = await venue.order(side="sell", sz="3", reduceOnly=True)
    assert verdict["sCode"] == "51112"
    assert (await venue.order(side="sell", sz="2", reduceOnly=True))["sCode"] == "0"
    assert await venue.rows("account/positions") == []


async def test_an_amendment_down_to_what_is_filled_fills_the_order(venue: Any) -> None:
    book = (await venue.rows("market/books", f"{SWAP}&sz=1"))[0]
    touch = book["asks"][0]
    size = Decimal(touch[1]) + 5
    made = await venue.order(px=touch[0], sz=str(size), clOrdId="cut")
    row = (await venue.rows("trade/order", f"{SWAP}&clOrdId=cut"))[0]
    if row["state"] != "partially_filled":
        pytest.skip("the market moved through the order first")
    body = {"instId": "BTC-USDT-SWAP", "ordId": made["ordId"], "newSz": row["accFillSz"]}
    await venue.post("trade/amend-order", body)
    row = (await venue.rows("trade/order", f"{SWAP}&clOrdId=cut"))[0]
    assert (row["state"], row["sz"]) == ("filled", row["accFillSz"])


async def test_lists_page_by_order_id_and_bill_id(venue: Any) -> None:
    for _ in range(3):
        await venue.order()
    rows = await venue.rows("trade/orders-history", "instType=SWAP")
    ids = [int(row["ordId"]) for row in rows]
    assert ids == sorted(ids, reverse=True) and len(ids) == 3
    older = await venue.rows("trade/orders-history", f"instType=SWAP&after={ids[1]}")
    assert [int(row["ordId"]) for row in older] == ids[2:]
    fills = await venue.rows("trade/fills", "instType=SWAP")
    bills = [int(row["billId"]) for row in fills]
    newer = await venue.rows("trade/fills", f"instType=SWAP&before={bills[-1]}")
    assert [int(row["billId"]) for row in newer] == bills[:-1]
    missing = await venue.get("trade/orders-history")
    assert missing["code"] == "50014"


async def test_order_requests_beyond_sixty_in_two_seconds_are_refused(wide: Any) -> None:
    body = {"instId": "BTC-USDT-SWAP", "ordId": "1"}
    codes = [(await wide.post("trade/cancel-order", body))["code"] for _ in range(61)]
    assert codes == ["1"] * 60 + ["50011"]
    verdict = await wide.post("trade/cancel-order", body | {"instId": "ETH-USDT-SWAP"})
    assert verdict["code"] == "1"  # another instrument has its own allowance


async def test_close_position_wants_closing_orders_out_of_the_way(venue: Any) -> None:
    body = {"instId": "BTC-USDT-SWAP", "mgnMode": "cross"}
    assert (await venue.post("trade/close-position", body))["code"] == "51023"
    await venue.order(sz="2")
    await venue.order(side="sell", px=await venue.below(factor="1.01"), sz="1")
    assert (await venue.post("trade/close-position", body))["code"] == "51115"
    closed = await venue.post("trade/close-position", body | {"autoCxl": True})
    assert closed["code"] == "0"
    assert await venue.rows("account/positions") == []


# Account ----------------------------------------------------------------------------------


async def test_bills_add_up_to_the_balance_and_fees_are_negative(venue: Any) -> None:
    await venue.order(sz="3")
    await venue.order(side="sell", sz="3")
    await venue.order(instId="BTC-USDT", tdMode="cash", sz="500")
    bills = await venue.rows("account/bills", "ccy=USDT")
    balance = (await venue.rows("account/balance", "ccy=USDT"))[0]["details"][0]
    assert sum(Decimal(row["balChg"]) for row in bills) == Decimal(balance["cashBal"])
    assert bills[0]["bal"] == balance["cashBal"]
    trades = [row for row in bills if row["type"] == "2" and row["instType"] == "SWAP"]
    for row in trades:
        assert Decimal(row["fee"]) < 0
        assert Decimal(row["balChg"]) == Decimal(row["pnl"]) + Decimal(row["fee"])


async def test_funding_is_booked_as_a_bill_and_counted_in_the_position(venue: Any) -> None:
    await venue.order(sz="10")
    due = int((await venue.rows("public/funding-rate", SWAP))[0]["fundingTime"])
    venue.clock.offset += due * 1_000_000 - venue.clock() + SECOND
    for _ in range(200):
        bills = await venue.rows("account/bills", "type=8")
        if bills:
            break
        venue.clock.offset += SECOND // 4
    bill = bills[0]
    assert bill["subType"] == ("174" if Decimal(bill["balChg"]) > 0 else "173")
    row = (await venue.rows("account/positions", SWAP))[0]
    assert Decimal(row["fundingFee"]) == Decimal(bill["balChg"])
    total = sum(Decimal(row[name]) for name in ("pnl", "fee", "fundingFee", "liqPenalty"))
    assert Decimal(row["realizedPnl"]) == total


async def test_long_short_mode_keeps_two_sides_and_switches_back_only_when_flat(
    venue: Any,
) -> None:
    path = "account/set-position-mode"
    assert (await venue.post(path, {"posMode": "long_short_mode"}))["code"] == "0"
    assert (await venue.order())["sCode"] == "51000"
    await venue.order(posSide="long", sz="2")
    await venue.order(posSide="short", side="sell", sz="1")
    rows = {row["posSide"]: row["pos"] for row in await venue.rows("account/positions")}
    assert rows == {"long": "2", "short": "1"}
    assert (await venue.post(path, {"posMode": "net_mode"}))["code"] == "59000"
    over = await venue.order(posSide="long", side="sell", sz="3")
    assert over["sCode"] == "51112"
    await venue.order(posSide="long", side="sell", sz="2")
    await venue.order(posSide="short", side="buy", sz="1")
    assert (await venue.post(path, {"posMode": "net_mode"}))["code"] == "0"


async def test_inverse_contracts_earn_coins_and_their_position_is_signed(wide: Any) -> None:
    await wide.order(instId="BTC-USD-SWAP", side="sell", sz="5")
    row = (await wide.rows("account/positions", "instId=BTC-USD-SWAP"))[0]
    assert (row["pos"], row["posSide"], row["ccy"]) == ("-5", "net", "BTC")
    entry, mark = Decimal(row["avgPx"]), Decimal(row["markPx"])
    expected = (1 / entry - 1 / mark) * -5 * 100
    assert abs(Decimal(row["upl"]) - expected) < Decimal("1e-8")


async def test_leverage_is_set_read_and_refused_beyond_the_maximum(venue: Any) -> None:
    body = {"instId": "BTC-USDT-SWAP", "lever": "20", "mgnMode": "cross"}
    assert (await venue.post("account/set-leverage", body))["data"][0]["lever"] == "20"
    assert (await venue.post("account/set-leverage", body))["code"] == "0"
    row = (await venue.rows("account/leverage-info", f"{SWAP}&mgnMode=cross"))[0]
    assert row["lever"] == "20"
    answer = await venue.post("account/set-leverage", body | {"lever": "999"})
    assert answer["code"] == "59102"


async def test_isolated_margin_is_set_aside_and_can_be_added_to(venue: Any) -> None:
    await venue.order(tdMode="isolated", sz="1")
    before = (await venue.rows("account/positions"))[0]
    assert before["mgnMode"] == "isolated" and Decimal(before["margin"]) > 0
    body = {"instId": "BTC-USDT-SWAP", "posSide": "net", "type": "add", "amt": "50"}
    assert (await venue.post("account/position/margin-balance", body))["code"] == "0"
    after = (await venue.rows("account/positions"))[0]
    assert Decimal(after["margin"]) - Decimal(before["margin"]) == 50
    assert (await venue.order(tdMode="cross"))["sCode"] == "59000"


async def test_money_moves_between_trading_and_funding_account(venue: Any) -> None:
    body = {"ccy": "USDT", "amt": "1000", "from": "18", "to": "6"}
    moved = (await venue.post("asset/transfer", body))["data"][0]
    state = (await venue.rows("asset/transfer-state", f"transId={moved['transId']}"))[0]
    assert state["state"] == "success"
    assert (await venue.rows("asset/balances"))[0]["bal"] == "1000"
    back = {"ccy": "USDT", "amt": "1001", "from": "6", "to": "18"}
    assert (await venue.post("asset/transfer", back))["code"] == "58350"
    assert (await venue.post("asset/transfer", back | {"amt": "1000"}))["code"] == "0"
    row = (await venue.rows("account/balance", "ccy=USDT"))[0]["details"][0]
    assert row["cashBal"] == "100000"


async def test_fees_are_told_per_group_as_negative_rates(venue: Any) -> None:
    row = (await venue.rows("account/trade-fee", "instType=SWAP"))[0]
    listed = (await venue.rows("public/instruments", "instType=SWAP"))[0]
    assert row["feeGroup"] == [{"groupId": listed["groupId"], "maker": "-0.0002",
                                "taker": "-0.0005"}]  # fmt: skip
    assert (await venue.get("account/trade-fee", "instType=SPOT&instId=NO-PE"))["code"] == "51001"
