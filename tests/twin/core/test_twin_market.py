"""The seeded world: same seed same market, one hidden price for all, sane books."""

import itertools
from decimal import Decimal

import msgspec
from twinbench import START, seeded

from oneprice.twin.chance import Chance, spot
from oneprice.twin.contract import BookChanged, CandleChanged, TickerChanged, Traded
from oneprice.twin.latent import Latent

MS = 1_000_000
MINUTE = 60_000 * MS
FEW = ("linear:BTCUSDT", "spot:BTCUSDT")


def story(venue: str, seed: int, span_ms: int, step_ms: int) -> bytes:
    exchange = seeded(venue, seed, only=(*FEW, "usdm:BTCUSDT"))
    told = []
    for at in range(START + step_ms * MS, START + span_ms * MS + 1, step_ms * MS):
        exchange.advance(at)
        told.extend(exchange.drain())
    return msgspec.json.encode([msgspec.structs.asdict(one) for one in told])


def test_the_same_seed_and_steps_tell_the_same_story_and_another_seed_another() -> None:
    assert story("bybit", 3, 4_000, 10) == story("bybit", 3, 4_000, 10)
    assert story("bybit", 3, 1_000, 10) != story("bybit", 4, 1_000, 10)


def test_the_hidden_path_is_the_same_for_two_start_times() -> None:
    early, late = Latent(11), Latent(11)
    moments = [START + k * 37 * MS for k in range(0, 4000, 13)]
    seen = [early.price("BTC", at) for at in range(START - 90 * MINUTE, START, 7 * MINUTE)]
    assert seen
    assert [early.price("BTC", at) for at in moments] == [
        late.price("BTC", at) for at in reversed(moments)
    ][::-1]


def test_the_hidden_path_is_continuous_over_minutes_and_stays_near_its_base() -> None:
    latent = Latent(5)
    border = START // MINUTE * MINUTE
    for minute in range(30):
        at = border + minute * MINUTE
        before, after = latent.price("ETH", at - MS), latent.price("ETH", at + MS)
        assert abs(before / after - 1) < 0.0002
    prices = [latent.price("ETH", border + k * 977 * MINUTE) for k in range(200)]
    assert 2000 < min(prices) < max(prices) < 4500


def test_two_venues_of_one_seed_stay_close_and_another_seed_is_elsewhere() -> None:
    one = seeded("bybit", 7, only=("linear:BTCUSDT",))
    two = seeded("binance", 7, only=("usdm:BTCUSDT",))
    for exchange in (one, two):
        for at in range(START, START + 5_000 * MS, 50 * MS):
            exchange.advance(at)
    here, there = (next(iter(e.floors.values())).middle() for e in (one, two))
    assert abs(here / there - 1) < Decimal("0.008")
    assert Latent(7).price("BTC", START) != Latent(8).price("BTC", START)


def test_a_listener_who_applies_every_change_holds_the_book_of_the_exchange() -> None:
    exchange = seeded("bybit", 2)
    books = {name: exchange.book(name) for name in exchange.floors}
    sides = {n: (dict(b.bids), dict(b.asks)) for n, b in books.items()}
    sequences = {n: b.sequence for n, b in books.items()}
    kinds: dict[str, int] = {}
    for at in range(START, START + 6_000 * MS, 10 * MS):
        exchange.advance(at)
        for output in exchange.drain():
            kinds[type(output).__name__] = kinds.get(type(output).__name__, 0) + 1
            if isinstance(output, BookChanged):
                assert output.sequence_before == sequences[output.instrument]
                assert output.sequence == output.sequence_before + 1
                sequences[output.instrument] = output.sequence
                for mine, levels in zip(
                    sides[output.instrument], (output.bids, output.asks), strict=True
                ):
                    for ticks, lots in levels:
                        mine[ticks] = lots
                        if not lots:
                            del mine[ticks]
                bids, asks = sides[output.instrument]
                assert max(bids) < min(asks)
    for name in exchange.floors:
        book = exchange.book(name)
        assert (dict(book.bids), dict(book.asks)) == sides[name]
        assert 80 <= len(book.bids) <= 260
    per_second = kinds["BookChanged"] / 6 / len(sides)
    assert 8 < per_second < 25
    assert kinds["Traded"] > 50
    assert kinds["TickerChanged"] == 6 * 10 * len(sides)


def test_books_keep_their_shape_for_minutes_where_a_tick_is_coarse() -> None:
    exchange = seeded("bybit", 7, only=("spot:SOLUSDT", "linear:SOLUSDT"))
    for second in range(1, 241):
        exchange.advance(START + second * 1_000 * MS)
    exchange.drain()
    for listing in exchange.setup.listings:
        view = exchange.book(listing.instrument.id, 500)
        for half in (view.bids, view.asks):
            touch, far = half[0][0], half[-1][0]
            assert len(half) > 80
            assert abs(far - touch) < 0.08 * touch
            # Most of it is near, where somebody may trade.
            assert abs(half[10][0] - touch) < 0.03 * touch


def test_dislocations_come_and_go_and_most_of_the_time_there_is_none_that_pays() -> None:
    latent = Latent(7)

    def gap(at: int) -> float:
        found = latent.shocks("BTC", "bybit:linear", at)
        return abs(sum(size * 0.5 ** ((at - start) / half) for start, size, half in found))

    seen = [gap(START + k * 100 * MS) for k in range(6000)]
    paying = sum(gap > 0.0021 for gap in seen) / len(seen)
    assert 0.005 < paying < 0.25
    assert max(seen) < 0.012


def test_bars_sum_up_and_reach_into_the_time_before_the_start() -> None:
    exchange = seeded("bybit", 7, only=("linear:BTCUSDT",))
    name = exchange.listings()[0].instrument.id
    told = []
    for at in range(START, START + 130_000 * MS, 50 * MS):
        exchange.advance(at)
        told.extend(exchange.drain())
    minutes = exchange.candles(name, "trade", 60_000, limit=200)
    assert len(minutes) == 200
    starts = [one.start_ms for one in minutes]
    assert starts == list(range(starts[0], starts[0] + 200 * 60_000, 60_000))
    assert [one.closed for one in minutes] == [True] * 199 + [False]
    assert all(one.low <= min(one.open, one.close) for one in minutes)
    assert all(one.high >= max(one.open, one.close) for one in minutes)
    # Every bar opens where the one before closed, the first one of the twin's own time too.
    assert all(after.open == one.close for one, after in itertools.pairwise(minutes[-4:]))
    five = exchange.candles(name, "trade", 300_000, limit=3)
    inside = [one for one in minutes if one.start_ms >= five[-1].start_ms]
    assert five[-1].close == inside[-1].close
    assert five[-1].volume_lots == sum(one.volume_lots for one in inside)
    lots = sum(one.lots for one in told if isinstance(one, Traded))
    closed = [one for one in told if isinstance(one, CandleChanged) and one.candle.closed]
    assert len({one.candle.start_ms for one in closed}) == len(closed) >= 2
    assert lots > 0
    marks = exchange.candles(name, "mark", 60_000, limit=5)
    assert [one.volume_lots for one in marks] == [0] * 5


def test_funding_history_and_the_next_instant_lie_on_the_interval() -> None:
    exchange = seeded("binance", 7, only=("usdm:BTCUSDT",))
    name = exchange.listings()[0].instrument.id
    eight_hours = 8 * 3_600_000 * MS
    rows = exchange.funding_rows(name, limit=50)
    assert len(rows) == 50
    assert all(row.at % eight_hours == 0 and row.at <= START for row in rows)
    ticker = exchange.ticker(name)
    assert ticker.funding_due == (START // eight_hours + 1) * eight_hours
    assert abs(ticker.funding_rate) <= Decimal("0.005")
    assert exchange.ticker(name).high_24h_ticks >= exchange.ticker(name).last_ticks


def test_tickers_come_at_most_every_tenth_of_a_second() -> None:
    exchange = seeded("bybit", 7, only=("linear:BTCUSDT",))
    stamps = []
    for at in range(START, START + 3_000 * MS, 10 * MS):
        exchange.advance(at)
        stamps.extend(one.ticker.at for one in exchange.drain() if isinstance(one, TickerChanged))
    gaps = [b - a for a, b in itertools.pairwise(stamps)]
    assert min(gaps) >= 100 * MS


def test_a_long_pause_is_skipped_and_time_never_runs_backwards() -> None:
    exchange = seeded("bybit", 7, only=("linear:BTCUSDT",))
    exchange.advance(START + 3_600_000 * MS)
    told = exchange.drain()
    assert len(told) < 500
    exchange.advance(START)
    assert exchange.drain() == []
    book = exchange.book(exchange.listings()[0].instrument.id)
    assert book.bids[0][0] < book.asks[0][0]


def test_chance_is_even_and_normal_enough() -> None:
    chance = Chance(1, "x")
    numbers = [chance.uniform() for _ in range(4000)]
    assert 0.47 < sum(numbers) / 4000 < 0.53
    waves = [chance.gauss() for _ in range(4000)]
    assert abs(sum(waves) / 4000) < 0.06
    assert 0.9 < sum(w * w for w in waves) / 4000 < 1.1
    assert spot(1, "a", 2) == spot(1, "a", 2) != spot(1, "a", 3)
