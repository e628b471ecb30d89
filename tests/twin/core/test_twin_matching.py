"""The book: queue places, walks, what the market does to our resting orders."""

from hypothesis import given, settings
from hypothesis import strategies as st

from oneprice.model.units import Side
from oneprice.twin.contract import SelfTrade
from oneprice.twin.matching import Hit, Match, MatchingBook, Resting

NONE = SelfTrade.NONE


def book(bids: dict[int, int], asks: dict[int, int]) -> MatchingBook:
    made = MatchingBook()
    assert list(made.apply(tuple(bids.items()), tuple(asks.items()))) == []
    return made


def resting(number: int, side: Side, ticks: int, lots: int, account: str = "a") -> Resting:
    return Resting(order_id=number, account=account, side=side, ticks=ticks, lots=lots)


def take(made: MatchingBook, side: Side, lots: int, limit: int) -> list[Match]:
    walk = made.half(side.opposite).walk(lots, limit, "", NONE)
    for match in walk:
        made.execute(side, match)
    return walk


def test_a_resting_order_waits_until_the_size_before_it_has_traded() -> None:
    made = book({100: 10}, {101: 10})
    made.rest(resting(1, Side.BUY, 100, 5))
    assert [m.order_id for m in take(made, Side.SELL, 10, 100)] == [0]
    assert take(made, Side.SELL, 3, 100) == [Match(ticks=100, lots=3, order_id=1)]
    assert made.bids.visible(100) == 2


def test_size_that_joins_later_stands_behind_our_order() -> None:
    made = book({100: 4}, {101: 10})
    made.rest(resting(1, Side.BUY, 100, 5))
    list(made.apply(((100, 50),), ()))
    walk = take(made, Side.SELL, 12, 100)
    assert [(m.order_id, m.lots) for m in walk] == [(0, 4), (1, 5), (0, 3)]


def test_cancelled_size_is_taken_from_behind_until_only_the_queue_before_us_is_left() -> None:
    made = book({100: 10}, {101: 10})
    order = resting(1, Side.BUY, 100, 5)
    made.rest(order)
    list(made.apply(((100, 30),), ()))
    list(made.apply(((100, 12),), ()))
    assert order.ahead == 10
    list(made.apply(((100, 3),), ()))
    assert order.ahead == 3


def test_better_price_goes_before_earlier_time() -> None:
    made = book({}, {110: 10})
    made.rest(resting(1, Side.BUY, 100, 5))
    made.rest(resting(2, Side.BUY, 101, 5))
    made.rest(resting(3, Side.BUY, 101, 5))
    walk = take(made, Side.SELL, 12, 100)
    assert [(m.order_id, m.lots) for m in walk] == [(2, 5), (3, 5), (1, 2)]


def test_a_market_that_moves_through_our_price_fills_us_at_our_price() -> None:
    made = book({99: 5}, {102: 5})
    made.rest(resting(1, Side.BUY, 100, 5))
    assert list(made.apply((), ((102, 0), (98, 3), (103, 9)))) == [
        Hit(order_id=1, ticks=100, lots=3)
    ]
    assert made.bids.best() == 100
    assert made.asks.best() == 103


def test_a_recorded_trade_uses_up_the_queue_before_it_reaches_our_order() -> None:
    made = book({100: 10}, {101: 10})
    made.rest(resting(1, Side.BUY, 100, 5))
    made.rest(resting(2, Side.BUY, 100, 5))
    assert list(made.pass_trade(Side.SELL, 100, 4)) == []
    assert list(made.pass_trade(Side.SELL, 100, 8)) == [Hit(order_id=1, ticks=100, lots=2)]
    assert list(made.pass_trade(Side.SELL, 99, 4)) == [
        Hit(order_id=1, ticks=100, lots=3),
        Hit(order_id=2, ticks=100, lots=1),
    ]


def test_a_walk_stops_at_an_own_order_unless_the_maker_is_the_one_to_go() -> None:
    made = book({}, {102: 5})
    made.rest(resting(1, Side.SELL, 101, 5))
    taker = made.asks.walk(10, 102, "a", SelfTrade.CANCEL_TAKER)
    assert [m.prevented for m in taker] == [True]
    maker = made.asks.walk(10, 102, "a", SelfTrade.CANCEL_MAKER)
    assert [(m.prevented, m.lots) for m in maker] == [(True, 5), (False, 5)]


LEVELS = st.dictionaries(st.integers(90, 110), st.integers(0, 20), max_size=6)
ACTIONS = st.lists(
    st.one_of(
        st.tuples(st.just("market"), LEVELS, LEVELS),
        st.tuples(st.just("take"), st.sampled_from(Side), st.integers(1, 40)),
        st.tuples(st.just("rest"), st.sampled_from(Side), st.integers(90, 110)),
        st.tuples(st.just("pass"), st.sampled_from(Side), st.integers(90, 110)),
    ),
    max_size=30,
)


@settings(max_examples=150, deadline=None)
@given(ACTIONS)
def test_whatever_happens_the_book_stays_uncrossed_and_no_order_fills_too_much(
    actions: list[tuple[object, ...]],
) -> None:
    made = book({}, {})
    placed: dict[int, int] = {}
    filled: dict[int, int] = {}

    def note(order_id: int, lots: int) -> None:
        assert lots > 0
        filled[order_id] = filled.get(order_id, 0) + lots

    for number, action in enumerate(actions, start=1):
        match action:
            case ("market", bids, asks):
                for hit in made.apply(tuple(bids.items()), tuple(asks.items())):
                    note(hit.order_id, hit.lots)
            case ("take", side, lots):
                for match in take(made, side, lots, 110 if side is Side.BUY else 90):
                    if match.order_id:
                        note(match.order_id, match.lots)
            case ("rest", side, ticks):
                for match in take(made, side, 7, ticks):
                    if match.order_id:
                        note(match.order_id, match.lots)
                if not made.crosses(side, ticks):
                    placed[number] = 7
                    made.rest(resting(number, side, ticks, 7))
            case ("pass", side, ticks):
                for hit in made.pass_trade(side, ticks, 9):
                    note(hit.order_id, hit.lots)
        for half in (made.bids, made.asks):
            assert half.keys == sorted(half.keys)
            assert all(half.visible(ticks) > 0 for ticks in half.keys)
        if made.bids.keys and made.asks.keys:
            assert made.bids.best() < made.asks.best()
        for order_id, lots in placed.items():
            left = made.resting[order_id].lots if order_id in made.resting else 0
            assert filled.get(order_id, 0) + left == lots
