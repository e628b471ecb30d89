"""The native kernel and the reference agree on every frame, whole or broken."""

from __future__ import annotations

import random
from types import ModuleType
from typing import Any

import msgspec
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from oneprice.kernel.contract import BadLevels, OffGrid, Outcome

from .formats import BINANCE_FUTURES, BINANCE_SPOT, BYBIT, OKX, PLAIN, TOPIC, binance, bybit, okx

Kernels = tuple[ModuleType, ModuleType]
FORMATS = {
    "bybit": (BYBIT, TOPIC),
    "spot": (BINANCE_SPOT, "BTCUSDT"),
    "futures": (BINANCE_FUTURES, "BTCUSDT"),
    "okx": (OKX, "BTC-USDT"),
    "plain": (PLAIN, "BTCUSDT"),
}
quick = settings(
    max_examples=150,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)

prices = st.integers(980, 1020)
sizes = st.integers(0, 30)
ODD_TEXTS = ["1.23", "0", "", "-1", "1e2", "01", "1.", ".5", "\u0661", "9" * 25, "5.0000000001"]
ODD_LEVELS: list[Any] = [["1"], [], "12", [1, "2"], ["1", 2], None, ["1", "2", []], {"1": "2"}]
ODD_LEVELS += [["99.5", "1.000", None, 7], ["99.50000", "1.0"], ["\u0039\u0039.5", "1"]]
ODD_BYTES = [b'"', b"\\", b"\\u0075", b"\\ud800", b"\x80", b"\xc3\xa9", b"\x00", b"\x1f", b"\t"]
ODD_BYTES += [b"}", b"]", b",", b"{", b"[", b" ", b"\n", b":", b"-", b".", b"null", b"0", b"01"]
ODD_BYTES += [b"1e999", b"1e5", b'"u":5,', b'"b":[],', b'"s":"x",', b'"topic":1,', b'"a":"1",']
ODD_BYTES += [b'"data":{"u":7},']


@st.composite
def levels(draw: st.DrawFn, low: int, high: int) -> list[Any]:
    """A few levels on a grid of 0.1 and 0.001, now and then an odd one."""
    drawn = draw(st.lists(st.tuples(st.integers(low, high), sizes), max_size=6))
    result: list[Any] = [[f"{p // 10}.{p % 10}", f"{s / 1000:.3f}"] for p, s in drawn]
    if draw(st.integers(0, 40)) == 0:
        result.append(draw(st.sampled_from(ODD_LEVELS)))
    if draw(st.integers(0, 40)) == 0:
        result.append([draw(st.sampled_from(ODD_TEXTS)), draw(st.sampled_from(ODD_TEXTS))])
    return result


@st.composite
def mutated(draw: st.DrawFn, frame: bytes) -> bytes:
    """The frame with one of the accidents that happen to bytes."""
    at = draw(st.integers(0, len(frame)))
    match draw(st.integers(0, 4)):
        case 0:
            return frame[:at]
        case 1:
            return frame[:at] + frame[at + draw(st.integers(1, 6)) :]
        case 2:
            return frame[:at] + draw(st.sampled_from(ODD_BYTES)) + frame[at:]
        case 3:
            odd = draw(st.sampled_from(ODD_BYTES))
            return frame[:at] + odd + frame[at + len(odd) :]
        case _:
            return frame + draw(st.sampled_from(ODD_BYTES))


@st.composite
def conversations(draw: st.DrawFn) -> tuple[str, int, list[bytes]]:
    """A channel, a depth limit and frames in a mostly continuous sequence."""
    channel = draw(st.sampled_from(sorted(FORMATS)))
    frames, u = [], draw(st.integers(0, 3))
    for _ in range(draw(st.integers(1, 12))):
        bids = draw(levels(980, draw(st.sampled_from([999, 999, 999, 1003]))))
        asks = draw(levels(1000, 1020))
        previous, u = u, max(0, u + draw(st.sampled_from([1, 1, 1, 1, 1, 1, 0, 2, -2])))
        whole = draw(st.integers(0, 5)) == 0
        match channel:
            case "bybit":
                frame = bybit("snapshot" if whole else "delta", u, bids, asks)
            case "okx":
                frame = okx("snapshot" if whole else "update", previous, u, bids, asks)
            case "futures":
                frame = binance(previous, u, bids, asks, previous)
            case _:
                frame = binance(previous + 1, u, bids, asks)
        if draw(st.integers(0, 6)) == 0:
            frame = draw(mutated(frame))
        frames.append(frame)
    return channel, draw(st.sampled_from([0, 0, 2, 4])), frames


def state(module: ModuleType, channel: str, depth_max: int) -> tuple[Any, Any, Any]:
    """A reader, its book and armed wires of one kernel."""
    facts, name = FORMATS[channel]
    book, other = module.Book("0.1", "0.001", depth_max), module.Book("0.1", "0.001")
    other.load([(995, 10)], [(1004, 10)], 0, 1)
    if channel not in ("bybit", "okx"):
        book.load([(990, 5)], [(1010, 5)], 0, 1)
    wires = module.Tripwires()
    wires.arm(book, other, -20.0, 0.1, 0.1)
    wires.arm(other, book, -60.0, 0.1, 0.1)
    wires.arm_cycle((book, other, book), (1, -1, -1), -9000.0, (0.1, 0.1, 0.1))
    reader = module.DepthReader(facts)
    reader.register(name, book)
    return reader, book, wires


def seen(reader: Any, book: Any, wires: Any) -> tuple[Any, ...]:
    """Everything that can be observed after a frame."""
    return (
        book.fingerprint(),
        (book.known, book.crossed, book.bridging, book.at, book.sequence),
        (book.bid_ticks, book.bid_lots, book.ask_ticks, book.ask_lots),
        (book.bids(), book.asks(2), book.imbalance(3), book.cost(1, 17), book.cost(-1, 9)),
        (book.lots_within(1, 990), book.lots_within(-1, 1010)),
        (reader.name, reader.book is book, reader.stamp_ms),
        (reader.first, reader.last, reader.previous),
        (wires.pending, wires.drain()),
    )


@quick
@given(conversations())
def test_both_kernels_say_and_hold_the_same_after_every_frame(
    both: Kernels, talk: tuple[str, int, list[bytes]]
) -> None:
    channel, depth_max, frames = talk
    sides = [state(module, channel, depth_max) for module in both]
    for at, frame in enumerate(frames):
        outcomes = [reader.feed(frame, at) for reader, _, _ in sides]
        assert outcomes[0] == outcomes[1], (Outcome(outcomes[0]), Outcome(outcomes[1]), frame)
        assert seen(*sides[0]) == seen(*sides[1]), frame


def test_ten_thousand_random_accidents_end_the_same_in_both_kernels(both: Kernels) -> None:
    dice = random.Random(5)
    sides = {channel: [state(m, channel, 0) for m in both] for channel in FORMATS}
    pairs = [["99.5", "0.005"], ["99.4", "0"], ["98", "1.5"]], [["100.5", "0.007"], ["101", "2"]]
    bases = [
        ("bybit", bybit("snapshot", 1, *pairs)),
        ("bybit", bybit("delta", 2, *pairs)),
        ("okx", okx("snapshot", -1, 5, *pairs)),
        ("okx", okx("update", 1, 5, *pairs)),
        ("futures", binance(1, 5, *pairs, previous=1)),
        ("spot", binance(1, 5, *pairs)),
        ("spot", binance(4, 5, *pairs)),
        ("plain", binance(1, 5, *pairs)),
    ]
    met = dict.fromkeys(Outcome, 0)
    for turn in range(10_000):
        channel, base = dice.choice(bases)
        frame = bytearray(base)
        for _ in range(dice.choice([1, 1, 2, 3])):
            at = dice.randrange(len(frame) + 1)
            odd = dice.choice(ODD_BYTES) if dice.random() < 0.6 else bytes([dice.randrange(256)])
            frame[at : at + dice.choice([0, 0, 1, len(odd), 9])] = odd
        raw = bytes(frame)
        for _, book, _ in sides[channel]:
            book.load([(990, 5)], [(1010, 5)], 0, 1)
        results = [(r.feed(raw, turn), seen(r, b, w)) for r, b, w in sides[channel]]
        assert results[0] == results[1], raw
        met[Outcome(results[0][0])] += 1
    likely = (Outcome.APPLIED, Outcome.REPLACED, Outcome.GAP, Outcome.MALFORMED, Outcome.OTHER)
    assert all(met[outcome] > 50 for outcome in likely), met


def whole(frame: bytes) -> bool:
    try:
        msgspec.json.decode(frame)
    except (msgspec.DecodeError, UnicodeDecodeError):
        return False
    return True


@quick
@given(st.data())
def test_a_depth_frame_is_malformed_when_msgspec_says_that_it_is_no_json(
    kernel: ModuleType, data: st.DataObject
) -> None:
    frame = bybit("snapshot", 7, [["99.5", "1"]], [["100.5", "1"]])
    at = data.draw(st.integers(40, len(frame)))
    odd = data.draw(st.sampled_from(ODD_BYTES) | st.binary(max_size=3))
    frame = frame[:at] + odd + frame[at + data.draw(st.integers(0, 3)) :]
    reader, book, _ = state(kernel, "bybit", 0)
    book.load([(990, 5)], [(1010, 5)], 0, 1)
    outcome = reader.feed(frame, 1)
    if not whole(frame):
        assert outcome in (Outcome.MALFORMED, Outcome.OTHER)
        assert outcome == Outcome.OTHER or not book.known
    elif outcome == Outcome.MALFORMED:
        assert not book.known


RAW = st.recursive(
    st.none() | st.booleans() | st.integers() | st.sampled_from(["1", "2.5", "0", "x"]),
    lambda inner: st.lists(inner, max_size=3),
    max_leaves=6,
)


@quick
@given(levels(980, 1020) | RAW, st.binary(max_size=2))
def test_raw_level_arrays_are_taken_or_refused_alike(both: Kernels, raw: Any, tail: bytes) -> None:
    results = []
    for module in both:
        book = module.Book("0.5", "0.01")
        try:
            book.snapshot(msgspec.json.encode(raw) + tail, b"[]", 3, 4)
            results.append(("taken", book.fingerprint()))
        except BadLevels as error:
            results.append((type(error) is OffGrid, book.fingerprint()))
    assert results[0] == results[1]
