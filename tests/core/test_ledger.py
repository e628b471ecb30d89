"""The ledger: every asset sums to zero, and the causes add up to the change in equity."""

from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from oneprice.core.ledger import LOTS, FillFacts, Ledger, Posting, Unbalanced, lots_value
from oneprice.model.instrument import Instrument
from oneprice.model.units import Side
from tests.build import a_perp, a_spot, an_inverse

D = Decimal
SPOT, PERP, COIN = a_spot(), a_perp(), an_inverse()


def a_fill(it: Instrument, side: Side, price: str, lots: int, **more: object) -> FillFacts:
    facts: dict[str, object] = {
        "instrument": it,
        "wallet": "unified",
        "group": "g1",
        "side": side,
        "ticks": it.ticks(price),
        "lots": lots,
        "decided": it.ticks(price),
        "fee": D(0),
        "fee_asset": it.settle,
    }
    return FillFacts(**(facts | more))  # type: ignore[arg-type]


def rates_at(price: str) -> dict[str, Decimal]:
    mark = D(price)
    return {
        "USDT": D(1),
        "BTC": mark,
        LOTS + PERP.id: lots_value(PERP, mark),
        LOTS + COIN.id: lots_value(COIN, mark) * mark,
    }


def test_a_posting_set_that_does_not_sum_to_zero_is_refused_whole() -> None:
    ledger = Ledger()
    with pytest.raises(Unbalanced, match="sum to zero"):
        ledger.post([Posting(("a",), "USDT", D(1)), Posting(("b",), "USDT", D("-0.9"))])
    assert not ledger.assets()


def test_a_spot_buy_with_its_fee_in_the_coin() -> None:
    ledger = Ledger()
    fee = D("0.00001")
    ledger.fill(a_fill(SPOT, Side.BUY, "60000", 10_000, fee=fee, fee_asset="BTC"))
    assert ledger.wallet("alpha", "unified", "BTC") == D("0.00999")
    assert ledger.wallet("alpha", "unified", "USDT") == D(-600)


def test_a_round_trip_in_a_linear_contract_moves_the_profit_to_the_wallet() -> None:
    ledger = Ledger()
    ledger.fill(a_fill(PERP, Side.BUY, "60000", 100))
    assert ledger.wallet("alpha", "unified", "USDT") == 0
    ledger.fill(a_fill(PERP, Side.SELL, "60100", 100))
    assert ledger.wallet("alpha", "unified", "USDT") == 10
    assert ledger.lots(PERP.id) == 0
    assert ledger.balance(("position", PERP.id), "USDT") == 0


def test_a_partial_close_realises_by_average_cost() -> None:
    ledger = Ledger()
    ledger.fill(a_fill(PERP, Side.BUY, "60000", 100))
    ledger.fill(a_fill(PERP, Side.BUY, "60200", 100))
    ledger.fill(a_fill(PERP, Side.SELL, "60300", 50))
    assert ledger.wallet("alpha", "unified", "USDT") == 10  # 0.05 * (60300 - 60100)


def test_a_fill_through_zero_closes_first_and_opens_the_rest() -> None:
    ledger = Ledger()
    ledger.fill(a_fill(PERP, Side.BUY, "60000", 100))
    ledger.fill(a_fill(PERP, Side.SELL, "60100", 150))
    assert ledger.wallet("alpha", "unified", "USDT") == 10
    assert ledger.lots(PERP.id) == -50
    assert ledger.balance(("position", PERP.id), "USDT") == D("3005")


def test_an_inverse_contract_earns_coins() -> None:
    ledger = Ledger()
    ledger.fill(a_fill(COIN, Side.BUY, "50000", 500))
    ledger.fill(a_fill(COIN, Side.SELL, "62500", 500))
    assert ledger.wallet("alpha", "unified", "BTC") == D("0.2")  # 50000 * (1/50000 - 1/62500)


def test_slippage_is_the_difference_to_the_decision() -> None:
    ledger = Ledger()
    ledger.fill(a_fill(PERP, Side.BUY, "60010", 100, decided=PERP.ticks("60000")))
    assert ledger.profit(rates_at("60000").get)["slippage"] == -1


def test_a_repair_is_legging_and_not_slippage() -> None:
    ledger = Ledger()
    facts = a_fill(PERP, Side.BUY, "60010", 100, decided=PERP.ticks("60000"), repair=True)
    ledger.fill(facts)
    profit = ledger.profit(rates_at("60000").get)
    assert profit["slippage"] == 0 and profit["legging"] == -1


def test_what_a_flat_group_cost_is_legging() -> None:
    ledger = Ledger()
    ledger.fill(a_fill(PERP, Side.BUY, "60010", 100, decided=PERP.ticks("60000")))
    ledger.fill(a_fill(PERP, Side.SELL, "59990", 100))
    ledger.move_to_legging("g1")
    profit = ledger.profit(rates_at("60000").get)
    assert profit["basis"] == profit["slippage"] == 0 and profit["legging"] == -2


def test_opening_balances_of_other_assets_are_revalued_as_currency() -> None:
    ledger = Ledger()
    ledger.open(("venue", "alpha", "unified"), "BTC", D(2))
    ledger.value_openings(rates_at("60000").get)
    rates = rates_at("61000").get
    assert ledger.profit(rates)["currency"] == 2000
    assert ledger.equity_change(rates) == 2000


def test_a_deposit_is_not_a_profit() -> None:
    ledger = Ledger()
    ledger.open(("venue", "alpha", "unified"), "USDT", D(500))
    ledger.value_openings(rates_at("60000").get)
    assert ledger.equity_change(rates_at("60000").get) == 0


def test_a_forgotten_group_stays_in_the_totals() -> None:
    ledger = Ledger()
    ledger.fill(a_fill(PERP, Side.BUY, "60010", 100, decided=PERP.ticks("60000")))
    rates = rates_at("60500").get
    before = ledger.profit(rates)
    ledger.forget("g1")
    assert ledger.profit(rates) == before
    assert not any(ledger.profit(rates, "g1").values())
    assert ledger.total("USDT") == 0 and ledger.residual(rates) == 0


PRICES = st.integers(30_000, 90_000).map(str)
FILLS = st.tuples(
    st.sampled_from([SPOT, PERP, COIN]),
    st.sampled_from(list(Side)),
    PRICES,
    PRICES,
    st.integers(1, 5_000),
    st.decimals("-1", "1", places=8),
    st.sampled_from(["USDT", "BTC"]),
    st.booleans(),
    st.sampled_from(["g1", "g2", "g3"]),
)


@given(
    fills=st.lists(FILLS, max_size=15),
    opening=st.decimals("0", "10", places=8),
    funding=st.decimals("-5", "5", places=8),
    price=PRICES,
)
def test_assets_sum_to_zero_and_causes_add_up_whatever_happens(
    fills: list[tuple[Instrument, Side, str, str, int, Decimal, str, bool, str]],
    opening: Decimal,
    funding: Decimal,
    price: str,
) -> None:
    ledger = Ledger()
    ledger.open(("venue", "alpha", "unified"), "BTC", opening)
    ledger.value_openings(rates_at("60000").get)
    lots: dict[str, int] = {}
    for it, side, paid, decided, count, fee, fee_asset, repair, group in fills:
        facts = a_fill(
            it,
            side,
            paid,
            count,
            decided=it.ticks(decided),
            fee=fee,
            fee_asset=fee_asset,
            repair=repair,
            group=group,
        )
        ledger.fill(facts)
        lots[it.id] = lots.get(it.id, 0) + int(side) * count
    ledger.gain("funding", ("venue", "alpha", "unified"), "USDT", [("g1", funding)])
    ledger.move_to_legging("g2")
    rates = rates_at(price).get
    assert all(ledger.total(asset) == 0 for asset in ledger.assets())
    assert ledger.residual(rates) == 0
    assert all(ledger.lots(it.id) == lots.get(it.id, 0) for it in (PERP, COIN))
    total, groups = ledger.profit(rates), [ledger.profit(rates, g) for g in ("g1", "g2", "g3")]
    for cause in groups[0]:
        assert sum(group[cause] for group in groups) == total[cause]
    assert sum(total.values()) == ledger.equity_change(rates)
