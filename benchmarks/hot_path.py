"""Raw depth frames to best bid and ask: the kernels against json with sortedcontainers.

A seeded stream in the shape of Bybit's orderbook.50 (about 394 bytes and six changed levels a side
per message). Every best bid and ask of every message of every variant is compared with the truth
of the generator before anything is timed. The kernels also prove the sequence, keep exact ticks
and check armed tripwires; the rival does none of it. Medians of rounds taken in turn.

    python benchmarks/hot_path.py [--json] [--messages 30000] [--rounds 7]
"""

from __future__ import annotations

import argparse
import gc
import json
import random
import statistics
import sys
import time
from bisect import insort
from collections.abc import Callable
from types import ModuleType

from sortedcontainers import SortedDict

from oneprice.kernel import reference
from oneprice.kernel.contract import Outcome
from oneprice.venues.bybit.feed import FORMAT

try:
    from oneprice.kernel import _native as native
except ImportError:
    native = None

TOPIC = "orderbook.50.BTCUSDT"
DEPTH = 50
Touch = tuple[int, int]
Stream = tuple[list[bytes], list[Touch]]


class Side:
    """One side of the true book, keys ascending with the best last (asks negated)."""

    def __init__(self, dice: random.Random, sign: int, best: int) -> None:
        self.dice = dice
        self.sign = sign
        self.keys = [sign * best - 2 * i for i in range(DEPTH)][::-1]
        self.changes: dict[int, int] = {}

    def change(self, limit: int, count: int) -> None:
        """Draw `count` changes; keys stay below `limit` (the best of the other side)."""
        self.changes = {}
        while len(self.changes) < count:
            act = self.dice.random()
            rank = min(int(self.dice.expovariate(0.15)), len(self.keys) - 1)
            key = self.keys[-1 - rank]
            if act < 0.76:
                self.changes[key] = self.dice.randint(1, 9999)
            elif act < 0.88:
                key += self.dice.randint(-2, 3)
                if key < limit:
                    if key not in self.keys:
                        insort(self.keys, key)
                    self.changes[key] = self.dice.randint(1, 9999)
            elif len(self.keys) > 1:
                self.keys.remove(key)
                self.changes[key] = 0
        while len(self.keys) > DEPTH:
            self.changes[self.keys.pop(0)] = 0
        while len(self.keys) < DEPTH:
            self.keys.insert(0, self.keys[0] - self.dice.randint(1, 3))
            self.changes[self.keys[0]] = self.dice.randint(1, 9999)

    def levels(self, changes: dict[int, int]) -> list[list[str]]:
        """Levels as the venue writes them, best first: tick 0.10, lot 0.001."""
        best_first = sorted(changes.items(), reverse=True)
        return [
            [f"{self.sign * key / 10:.2f}", f"{lots / 1000:.3f}" if lots else "0"]
            for key, lots in best_first
        ]


def frame(kind: str, update: int, sides: list[list[list[str]]]) -> bytes:
    """A frame with the keys in the order of the venue."""
    stamp = 1_687_940_967_466 + 20 * update
    body = {
        "topic": TOPIC,
        "type": kind,
        "ts": stamp,
        "data": {
            "s": "BTCUSDT",
            "b": sides[0],
            "a": sides[1],
            "u": 177_400_507 + update,
            "seq": 66_544_703_342 + 7 * update,
        },
        "cts": stamp - 2,
    }
    return json.dumps(body, separators=(",", ":")).encode()


def stream(messages: int, seed: int = 7) -> Stream:
    """A snapshot, `messages` deltas, and the true touch after each of them."""
    dice = random.Random(seed)
    bids, asks = Side(dice, 1, 302_400), Side(dice, -1, 302_401)
    full = [side.levels(dict.fromkeys(side.keys, 1500)) for side in (bids, asks)]
    frames, truth = [frame("snapshot", 0, full)], [(302_400, 302_401)]
    for update in range(1, messages + 1):
        count = max(1, round(dice.gauss(5.2, 1.8)))
        bids.change(-asks.keys[-1], count)
        asks.change(-bids.keys[-1], max(1, round(dice.gauss(5.2, 1.8))))
        frames.append(frame("delta", update, [s.levels(s.changes) for s in (bids, asks)]))
        truth.append((bids.keys[-1], -asks.keys[-1]))
    return frames, truth


def rival() -> Callable[[list[bytes], list[Touch] | None], None]:
    """json.loads, two SortedDicts of floats, best bid and ask read after every message."""

    def run(frames: list[bytes], truth: list[Touch] | None) -> None:
        bids, asks = SortedDict(), SortedDict()
        loads = json.loads
        for place, message in enumerate(frames):
            data = loads(message)["data"]
            for levels, side in ((data["b"], bids), (data["a"], asks)):
                for price, size in levels:
                    amount = float(size)
                    if amount:
                        side[float(price)] = amount
                    else:
                        side.pop(float(price), None)
            bid, ask = bids.peekitem(-1)[0], asks.peekitem(0)[0]
            if truth is not None and (round(bid * 10), round(ask * 10)) != truth[place]:
                raise SystemExit(f"rival: message {place}: {(bid, ask)} is not {truth[place]}")

    return run


def kernel(module: ModuleType) -> Callable[[list[bytes], list[Touch] | None], None]:
    """One kernel, with a wire armed to buy on a quiet book and one to sell on it."""

    def run(frames: list[bytes], truth: list[Touch] | None) -> None:
        book = module.Book("0.10", "0.001")
        quiet = module.Book("0.10", "0.001")
        quiet.load([(302_300, 5)], [(302_500, 5)], 0, 1)
        wires = module.Tripwires()
        wires.arm(book, quiet, 500.0, 0.1, 0.1)
        wires.arm(quiet, book, 500.0, 0.1, 0.1)
        reader = module.DepthReader(FORMAT)
        reader.register(TOPIC, book)
        feed = reader.feed
        good = (Outcome.APPLIED, Outcome.REPLACED)
        if truth is None:
            for message in frames:
                feed(message, 0)
                _bid, _ask = book.bid_ticks, book.ask_ticks
            return
        for place, message in enumerate(frames):
            outcome = feed(message, 0)
            touch = (book.bid_ticks, book.ask_ticks)
            if outcome not in good or touch != truth[place]:
                raise SystemExit(f"{module.__name__}: message {place}: {outcome}, {touch}")

    return run


def measure(messages: int, rounds: int) -> dict[str, object]:
    """Check every variant against the truth, then time them in turn."""
    frames, truth = stream(messages)
    variants = {"rival": rival(), "reference": kernel(reference)}
    if native is not None:
        variants["native"] = kernel(native)
    for run in variants.values():
        run(frames, truth)
    seconds: dict[str, list[float]] = {name: [] for name in variants}
    gc.collect()
    gc.disable()
    for _ in range(rounds):
        for name, run in variants.items():
            start = time.perf_counter()
            run(frames, None)
            seconds[name].append(time.perf_counter() - start)
    gc.enable()
    rates = {name: len(frames) / statistics.median(times) for name, times in seconds.items()}
    return {
        "messages": len(frames),
        "mean_bytes": round(statistics.fmean(map(len, frames[1:])), 1),
        "mean_levels_a_side": round(statistics.fmean(f.count(b'["') for f in frames[1:]) / 2, 2),
        "python": sys.version.split()[0],
        "messages_per_second": {name: round(rate) for name, rate in rates.items()},
        "times_rival": {name: round(rate / rates["rival"], 2) for name, rate in rates.items()},
    }


def main() -> None:
    """Print the rates as a table or as JSON."""
    options = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    options.add_argument("--json", action="store_true")
    options.add_argument("--messages", type=int, default=30_000)
    options.add_argument("--rounds", type=int, default=7)
    chosen = options.parse_args()
    result = measure(chosen.messages, chosen.rounds)
    if chosen.json:
        print(json.dumps(result))
        return
    print(
        f"{result['messages']} messages, {result['mean_bytes']} bytes and "
        f"{result['mean_levels_a_side']} levels a side in the mean; every touch is right"
    )
    rates, ratios = result["messages_per_second"], result["times_rival"]
    assert isinstance(rates, dict) and isinstance(ratios, dict)
    for name, rate in rates.items():
        print(f"{name:<10} {rate:>10,} messages/s  {ratios[name]:>6} x rival")
    if native is None:
        print("native     not built")


if __name__ == "__main__":
    main()
