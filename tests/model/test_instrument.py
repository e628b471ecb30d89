"""Grids and money: what goes in comes out, and nothing is rounded behind our back."""

from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from oneprice.model.instrument import Instrument, OffGrid, Payoff, instrument_id, split_id
from oneprice.model.units import Side, plain


def an_instrument(payoff: Payoff = Payoff.LINEAR, **changes: object) -> Instrument:
    facts: dict[str, object] = {
        "id": "venue:market:BTCUSDT", "venue": "venue", "market": "market", "symbol": "BTCUSDT",
        "payoff": payoff, "base": "BTC", "quote": "USDT", "settle": "USDT",
        "tick": Decimal("0.1"), "lot": Decimal("0.001"),
    }  # fmt: skip
    return Instrument(**{**facts, **changes})


@given(st.integers(0, 10**12), st.sampled_from(["0.1", "0.5", "0.00001", "25", "0.0025"]))
def test_ticks_of_a_price_are_the_ticks(ticks: int, tick: str) -> None:
    item = an_instrument(tick=Decimal(tick))
    assert item.ticks(item.price(ticks)) == ticks
    assert item.ticks(item.price_text(ticks)) == ticks


@pytest.mark.parametrize("price", ["60000.05", "0.01", "1e-9"])
def test_a_price_off_the_grid_is_an_error_that_names_both(price: str) -> None:
    with pytest.raises(OffGrid, match=r"venue:market:BTCUSDT: price .* tick 0\.1"):
        an_instrument().ticks(price)


@given(st.decimals("0.0001", "99999", places=7))
def test_rounding_is_never_to_our_harm(price: Decimal) -> None:
    item = an_instrument()
    assert item.price(item.ticks_not_worse(price, Side.BUY)) <= price
    assert item.price(item.ticks_not_worse(price, Side.SELL)) >= price


def test_an_inverse_contract_pays_in_coin() -> None:
    item = an_instrument(Payoff.INVERSE, lot=Decimal(1), settle="BTC")
    # 60,000 contracts of 1 USD, 50,000 to 60,000: 60000/50000 - 60000/60000 = 0.2 BTC
    assert item.profit(Decimal(50_000), Decimal(60_000), 60_000) == Decimal("0.2")
    assert item.notional(500_000, 60_000) == 60_000
    assert item.base_size(600_000, 60_000) == 1


def test_a_quanto_contract_pays_by_its_multiplier() -> None:
    item = an_instrument(Payoff.QUANTO, contract_value=Decimal("0.000001"), lot=Decimal(1))
    assert item.profit(Decimal(2000), Decimal(2100), 50) == Decimal("0.005")


def test_the_coins_of_a_quanto_contract_are_not_to_be_had_from_its_own_price() -> None:
    item = an_instrument(Payoff.QUANTO, contract_value=Decimal("0.000001"), settle="BTC")
    with pytest.raises(ValueError, match="depends on the price of BTC"):
        item.base_size(2_000, 50)
    with pytest.raises(ValueError, match="depends on the price of BTC"):
        item.base_per_lot()


@pytest.mark.parametrize(
    ("payoff", "asset"),
    [(Payoff.LINEAR, "USDT"), (Payoff.INVERSE, "USDT"), (Payoff.QUANTO, "BTC")],
)
def test_a_value_is_counted_in_quote_except_for_quanto(payoff: Payoff, asset: str) -> None:
    assert an_instrument(payoff, settle="BTC").notional_asset == asset


def test_longs_pay_a_positive_rate() -> None:
    item = an_instrument()
    # Bybit v5 document, section 6.8: 0.004 * 60002.50 * 0.000087 = 0.020881 paid by the long
    paid = item.funding(Decimal("60002.50"), 4, Decimal("0.000087"))
    assert paid == Decimal("-0.02088087000")
    assert item.funding(Decimal("60002.50"), -4, Decimal("0.000087")) == -paid


def test_a_thousandfold_token_is_the_same_thing() -> None:
    pepe = an_instrument(base="PEPE", multiplier=Decimal(1000), lot=Decimal(1))
    assert pepe.base_size(1, 5) == 5000


def test_ids_come_apart_as_they_went_together() -> None:
    assert split_id(instrument_id("a", "b", "BTC-26DEC26")) == ("a", "b", "BTC-26DEC26")
    with pytest.raises(ValueError, match="venue:market:symbol"):
        split_id("bybit:BTCUSDT")


@given(st.decimals(allow_nan=False, allow_infinity=False, places=12))
def test_plain_text_is_the_same_number_without_ornament(number: Decimal) -> None:
    text = plain(number)
    assert Decimal(text) == number
    assert "e" not in text.lower()
    assert not (text.endswith("0") and "." in text)
