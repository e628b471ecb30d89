"""Orders: whatever order the messages come in, doubled or late, the truth is the same."""

from decimal import Decimal
from itertools import product

import pytest
from hypothesis import given
from hypothesis import strategies as st

from oneprice.core.orders import (
    ASK_TIMER,
    TABLE,
    OrderMessage,
    Orders,
    OrderSignal,
    OrderState,
)
from oneprice.model import events as ev
from oneprice.model.commands import PlaceOrder, QueryOrder, SetTimer
from oneprice.model.settings import OrderSettings
from oneprice.model.units import MILLI, SECOND, Lots, Nanos, Side, Ticks

A = "alpha:linear:BTCUSDT"


def some_orders(lots: int = 10) -> Orders:
    orders = Orders(OrderSettings())
    command = PlaceOrder(
        order_id="o1", group="g1", instrument=A, side=Side.BUY, ticks=Ticks(100), lots=Lots(lots)
    )
    orders.place(command, Ticks(100), repair=False)
    return orders


def a_fill(number: int, lots: int, order: str = "o1", at: int = 0) -> ev.OrderFilled:
    return ev.OrderFilled(
        at=Nanos(at),
        order_id=order,
        instrument=A,
        fill_id=f"f{number}",
        side=Side.BUY,
        ticks=Ticks(100),
        lots=Lots(lots),
        fee=Decimal(0),
        fee_asset="USDT",
    )


def an_end(lots: int, at: int = 0) -> ev.OrderEnded:
    return ev.OrderEnded(
        at=Nanos(at), order_id="o1", filled_lots=Lots(lots), reason="cancelled"
    )


ACCEPTED = ev.OrderAccepted(at=Nanos(0), order_id="o1")
UNSURE = ev.OrderUncertain(at=Nanos(0), order_id="o1", reason="timeout")


def test_every_state_answers_every_signal() -> None:
    assert set(TABLE) == set(product(OrderState, OrderSignal))


def test_done_is_the_end() -> None:
    assert all(TABLE[OrderState.DONE, signal] is OrderState.DONE for signal in OrderSignal)


def test_every_living_state_can_end_and_can_become_unknown() -> None:
    for state in (OrderState.SENT, OrderState.LIVE, OrderState.UNKNOWN):
        assert TABLE[state, OrderSignal.ENDED] is OrderState.DONE
        assert TABLE[state, OrderSignal.UNCERTAIN] is OrderState.UNKNOWN


@given(data=st.data(), parts=st.lists(st.integers(1, 5), max_size=4))
def test_shuffled_and_doubled_messages_settle_to_the_same_fills(
    data: st.DataObject, parts: list[int]
) -> None:
    story: list[OrderMessage] = [
        ACCEPTED,
        *(a_fill(n, lots) for n, lots in enumerate(parts)),
        an_end(sum(parts)),
    ]
    doubled = story + data.draw(st.lists(st.sampled_from(story), max_size=5))
    orders = some_orders(lots=20)
    counted = 0
    for message in data.draw(st.permutations(doubled)):
        heard = orders.hear(message)
        counted += message.lots if heard.counts and isinstance(message, ev.OrderFilled) else 0
        assert not heard.contradiction
    order = orders.get("o1")
    assert order is not None and order.settled
    assert order.filled == counted == sum(parts)


@given(data=st.data(), parts=st.lists(st.integers(1, 5), min_size=1, max_size=4))
def test_a_dropped_message_never_settles_an_order_wrongly(
    data: st.DataObject, parts: list[int]
) -> None:
    story: list[OrderMessage] = [
        ACCEPTED,
        *(a_fill(n, lots) for n, lots in enumerate(parts)),
        an_end(sum(parts)),
    ]
    lost = data.draw(st.integers(1, len(story) - 1))
    orders = some_orders(lots=21)
    for number, message in enumerate(story):
        if number != lost:
            orders.hear(message)
    order = orders.get("o1")
    assert order is not None and not order.settled
    orders.hear(story[lost])
    assert order.settled and order.filled == sum(parts)


def test_a_fill_before_the_acknowledgement_counts() -> None:
    orders = some_orders()
    assert orders.hear(a_fill(1, 4)).counts
    orders.hear(ACCEPTED)
    order = orders.get("o1")
    assert order is not None and order.state is OrderState.LIVE and order.filled == 4


def test_an_end_that_claims_more_than_the_fills_seen_is_asked_about() -> None:
    orders = some_orders()
    heard = orders.hear(an_end(7))
    assert isinstance(heard.commands[0], QueryOrder)
    order = orders.get("o1")
    assert order is not None and order.state is OrderState.DONE and not order.settled
    assert not orders.hear(a_fill(1, 7)).contradiction
    assert order.settled


def test_a_fill_after_a_complete_end_counts_and_contradicts() -> None:
    orders = some_orders()
    orders.hear(an_end(0))
    heard = orders.hear(a_fill(1, 3))
    assert heard.counts and "after its end" in heard.contradiction


def test_a_fill_of_an_unknown_order_counts_and_contradicts() -> None:
    heard = some_orders().hear(a_fill(1, 3, order="never-sent"))
    assert heard.counts and heard.order is None and heard.contradiction


def test_a_fill_from_before_the_opening_balance_is_remembered_but_not_counted() -> None:
    orders = some_orders()
    before = orders.hear(a_fill(1, 3, order="older"), strangers_count=False)
    again = orders.hear(a_fill(1, 3, order="older"), strangers_count=True)
    assert not before.counts and not before.contradiction and not again.counts


def test_a_duplicate_id_refusal_means_that_the_order_lives() -> None:
    orders = some_orders()
    heard = orders.hear(ev.OrderRefused(at=Nanos(0), order_id="o1", reason="duplicate_id"))
    order = orders.get("o1")
    assert order is not None and order.state is OrderState.UNKNOWN
    assert isinstance(heard.commands[0], QueryOrder)


def test_an_uncertain_order_is_asked_for_at_once_and_with_growing_pauses() -> None:
    orders = some_orders()
    commands, at, pauses = orders.hear(UNSURE).commands, 0, []
    for _ in range(8):
        query, timer = commands
        assert isinstance(query, QueryOrder) and isinstance(timer, SetTimer)
        pauses.append((timer.due - at) // MILLI)
        at = timer.due
        commands = orders.timer(ASK_TIMER + "o1", Nanos(at))
    assert pauses == [250, 500, 1000, 2000, 4000, 5000, 5000, 5000]


@pytest.mark.parametrize(
    "answer",
    [
        ev.OrderUncertain(at=Nanos(5), order_id="o1", reason="fills incomplete"),
        ev.OrderMissing(at=Nanos(5), order_id="o1"),
        an_end(7, at=5),
    ],
    ids=lambda answer: type(answer).__name__,
)
@pytest.mark.parametrize("first", [UNSURE, an_end(7)], ids=lambda first: type(first).__name__)
def test_an_answer_that_settles_nothing_waits_for_the_timer(
    first: OrderMessage, answer: OrderMessage
) -> None:
    orders = some_orders()
    assert orders.hear(first).commands
    for _ in range(100):
        assert orders.hear(answer).commands == []
    assert orders.timer(ASK_TIMER + "o1", Nanos(SECOND))


def missing(orders: Orders, *seconds: float) -> OrderState:
    for second in seconds:
        at = Nanos(int(second * SECOND))
        orders.hear(ev.OrderMissing(at=at, order_id="o1"))
    order = orders.get("o1")
    assert order is not None
    return order.state


@pytest.mark.parametrize(
    ("answers", "state"),
    [
        ((1.0,), OrderState.UNKNOWN),
        ((1.0, 1.1, 1.2, 1.3), OrderState.UNKNOWN),  # often enough, not long enough
        ((1.0, 4.0), OrderState.UNKNOWN),  # long enough, not often enough
        ((1.0, 2.0, 3.0), OrderState.UNKNOWN),  # an order may be under way for two seconds
        ((1.0, 2.5, 4.0), OrderState.DONE),
    ],
)
def test_no_such_order_is_believed_only_after_several_answers_over_time(
    answers: tuple[float, ...], state: OrderState
) -> None:
    orders = some_orders()
    orders.hear(UNSURE)
    assert missing(orders, *answers) is state


def test_a_sign_of_life_starts_the_count_of_missing_answers_anew() -> None:
    orders = some_orders()
    orders.hear(UNSURE)
    missing(orders, 1.0, 2.0)
    orders.hear(ev.OrderAccepted(at=Nanos(2 * SECOND), order_id="o1"))
    assert missing(orders, 3.1) is OrderState.UNKNOWN


def test_a_filled_order_that_goes_missing_is_a_contradiction() -> None:
    orders = some_orders()
    orders.hear(a_fill(1, 3))
    heard = [
        orders.hear(ev.OrderMissing(at=Nanos(n * SECOND), order_id="o1")) for n in range(1, 8)
    ]
    order = orders.get("o1")
    assert order is not None and order.settled and order.filled == 3
    assert [bool(h.contradiction) for h in heard].count(True) == 1


def test_the_same_fill_id_on_two_instruments_is_two_fills() -> None:
    orders = some_orders()
    other = PlaceOrder(
        order_id="o2",
        group="g1",
        instrument="alpha:linear:ETHUSDT",
        side=Side.BUY,
        ticks=Ticks(100),
        lots=Lots(10),
    )
    orders.place(other, Ticks(100), repair=False)
    first = orders.hear(a_fill(1, 2))
    second = orders.hear(
        ev.OrderFilled(
            at=Nanos(0),
            order_id="o2",
            instrument=other.instrument,
            fill_id="f1",
            side=Side.BUY,
            ticks=Ticks(100),
            lots=Lots(2),
            fee=Decimal(0),
            fee_asset="USDT",
        )
    )
    assert first.counts and second.counts


def test_a_client_id_is_used_once() -> None:
    orders = some_orders()
    command = PlaceOrder(
        order_id="o1", group="g2", instrument=A, side=Side.BUY, ticks=Ticks(1), lots=Lots(1)
    )
    with pytest.raises(AssertionError, match="used once"):
        orders.place(command, Ticks(1), repair=False)
