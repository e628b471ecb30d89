"""How long the loop stands still for a market's list of instruments: all of it, or by name.

    python -m benchmarks.listing [--wanted 4] [--rounds 30] [--json]

Every row is one that a twin told over HTTP, multiplied to as many as the venue lists and given a
symbol of its own; Binance's spot rows are filled up with permission sets to their real length.
While an answer is read and told to the engine nothing else runs: that is how long the loop stands
still, in milliseconds of one answer, and split into reading it (decode), keeping it for the tape
(record) and telling the engine (tell).

before  the whole list, as it was asked for every ten minutes
start   the whole list as it is asked for once, before anything is connected
again   what is asked for every ten minutes now: the wanted instruments, by name where the venue
        can, else picked out of the list
"""

import argparse
import asyncio
import json
import time
from collections.abc import Callable, Sequence
from typing import Any

import msgspec

from oneprice.app.build import build_desk, spec_of
from oneprice.app.config import RunConfig, VenueConfig
from oneprice.app.lab import start_lab, twin_endpoints
from oneprice.cli.speech import quiet_logs
from oneprice.model.instrument import instrument_id
from oneprice.shell.desk import Desk
from oneprice.shell.http import Http
from oneprice.venues.contract import Answer, Request, names_in

AT = 1_800_000_000_000_000_000
# How many instruments a venue lists in a market.
MARKETS: dict[tuple[str, str], int] = {
    ("binance", "spot"): 3500,
    ("binance", "usdm"): 600,
    ("bybit", "spot"): 700,
    ("bybit", "linear"): 650,
    ("okx", "spot"): 800,
    ("okx", "swap"): 320,
    ("kucoin", "spot"): 1300,
    ("kucoin", "futures"): 500,
    ("bitmex", "derivatives"): 150,
}
GROUPS = [["SPOT", "MARGIN", *(f"TRD_GRP_{number:03}" for number in range(1, 110))]]
PARTS = ("decode", "record", "tell")


class Kept:
    """A recorder that keeps the last payload: what a tape is given before it writes."""

    def __init__(self) -> None:
        self.payload = b""

    def append(self, kind: int, source: str, at: int, payload: bytes) -> None:
        self.payload = payload


class Document:
    """A venue's answer about a market: its envelope, and where the rows are in it."""

    def __init__(self, body: bytes) -> None:
        self._top = msgspec.json.decode(body)
        self._path: list[str] = []
        place = self._top
        while isinstance(place, dict):
            key = next(k for k in ("symbols", "result", "list", "data") if place.get(k))
            self._path.append(key)
            place = place[key]
        self.rows: list[dict[str, Any]] = place
        self.key = "instId" if "instId" in self.rows[0] else "symbol"

    def multiply(self, count: int) -> None:
        """Copies of the rows, each with a symbol of its own, behind those that are there."""
        first = list(self.rows)
        for number in range(count - len(first)):
            row = first[number % len(first)]
            self.rows.append(row | {self.key: f"C{number}{row[self.key]}"})

    def body(self, rows: Any) -> bytes:
        """The answer with these rows instead."""
        for key in reversed(self._path):
            rows = self._within(key) | {key: rows}
        return msgspec.json.encode(rows)

    def _within(self, key: str) -> dict[str, Any]:
        place = self._top
        for step in self._path[: self._path.index(key)]:
            place = place[step]
        return dict(place)


class Stage(msgspec.Struct):
    """One market: a desk that knows it, and what the venue answers."""

    desk: Desk
    venue: str
    answers: dict[str, list[Answer]]


async def documents() -> dict[tuple[str, str], Document]:
    """What the twins list in each market."""
    found = {}
    for venue in dict.fromkeys(venue for venue, _ in MARKETS):
        lab = await start_lab([venue], "seed:7")
        ready = lab.twins[venue]
        ends = twin_endpoints(venue, ready.rest, ready.ws, spec_of(venue).hosts["live"])
        http = Http(ends)
        try:
            for market in (market for name, market in MARKETS if name == venue):
                feed = _desk(venue).dialect(venue).feed
                answer = await http.send(feed.instruments([market])[0])
                found[venue, market] = Document(answer.body)
        finally:
            await http.close()
            await lab.close()
    return found


def _desk(venue: str) -> Desk:
    config = RunConfig(venues=(VenueConfig(name=venue),))
    return build_desk(config, "bench", {}, Kept())


def stage(venue: str, market: str, document: Document, wanted: int) -> Stage:
    """The three ways of a market, answered in full length."""
    desk = _desk(venue)
    feed = desk.dialect(venue).feed
    symbols = [row[document.key] for row in document.rows[:wanted]]
    document.multiply(MARKETS[venue, market])
    whole = feed.instruments([market])[0]
    slim = document.body(document.rows)
    full = slim
    if "permissionSets" in document.rows[0]:
        full = document.body([row | {"permissionSets": GROUPS} for row in document.rows])
    names = [instrument_id(venue, market, symbol) for symbol in symbols]
    again = []
    for request in feed.instruments([market], names):
        if not request.tag.startswith("instruments:"):
            continue
        body = slim
        if (request.path, request.query) != (whole.path, whole.query):
            asked = names_in(request.tag)
            rows = [row for row in document.rows if row[document.key] in asked]
            single = request.path.endswith(tuple(f"/{symbol}" for symbol in asked))
            body = document.body(rows[0] if single else rows)
        again.append(_answer(request, body))
    answers = {"before": [_answer(whole, full)], "start": [_answer(whole, slim)], "again": again}
    return Stage(desk, venue, answers)


def _answer(request: Request, body: bytes) -> Answer:
    return Answer(tag=request.tag, status=200, body=body)


def timed(stage: Stage, way: str, rounds: int) -> dict[str, Any]:
    """Median and 99th percentile of the stall of one answer, with its parts."""
    desk = stage.desk
    feed = desk.dialect(stage.venue).feed
    spent = dict.fromkeys(PARTS, 0)

    def clocked(part: str, work: Callable[..., Any]) -> Callable[..., Any]:
        def call(*given: Any) -> Any:
            began = time.perf_counter_ns()
            try:
                return work(*given)
            finally:
                spent[part] += time.perf_counter_ns() - began

        return call

    answered, record = feed.answered, desk._record
    feed.answered = clocked("decode", answered)  # type: ignore[method-assign]
    desk._record = clocked("record", record)  # type: ignore[method-assign]
    stalls: list[int] = []
    parts: dict[str, list[int]] = {part: [] for part in PARTS}
    try:
        for number in range(rounds):
            for answer in stage.answers[way]:
                for part in PARTS:
                    spent[part] = 0
                began = time.perf_counter_ns()
                desk.answer(stage.venue, "feed", answer, AT + number)
                stall = time.perf_counter_ns() - began
                spent["tell"] = stall - spent["decode"] - spent["record"]
                stalls.append(stall)
                for part in PARTS:
                    parts[part].append(spent[part])
    finally:
        feed.answered, desk._record = answered, record  # type: ignore[method-assign]
    if desk.rejected:
        raise SystemExit(f"{stage.venue}: an answer was not understood: {desk.rejected}")
    return {
        "answers": len(stage.answers[way]),
        "bytes": max(len(answer.body) for answer in stage.answers[way]),
        "median_ms": _ms(stalls, 50),
        "p99_ms": _ms(stalls, 99),
        **{f"{part}_ms": _ms(parts[part], 50) for part in PARTS},
    }


def _ms(values: Sequence[int], percent: int) -> float:
    ordered = sorted(values)
    return round(ordered[min(len(ordered) - 1, len(ordered) * percent // 100)] / 1e6, 3)


def measure(wanted: int, rounds: int) -> dict[str, Any]:
    """Every market, every way."""
    quiet_logs(level=50)
    found: dict[str, Any] = {}
    for (venue, market), document in asyncio.run(documents()).items():
        one = stage(venue, market, document, wanted)
        ways = {way: timed(one, way, rounds) for way in one.answers}
        found[f"{venue} {market}"] = {"rows": MARKETS[venue, market], "ways": ways}
    return {"wanted": wanted, "rounds": rounds, "markets": found}


def table(result: dict[str, Any]) -> str:
    """The result for people."""
    lines = [
        f"stall of the loop for one answer, in ms; {result['wanted']} instruments wanted",
        f"{'market':<20} {'rows':>5} {'way':<7} {'answers':>7} {'kB':>7} {'median':>9} {'p99':>9}"
        f" {'decode':>9} {'record':>9} {'tell':>9}",
    ]
    for market, found in result["markets"].items():
        for way, x in found["ways"].items():
            lines.append(
                f"{market:<20} {found['rows']:>5} {way:<7} {x['answers']:>7}"
                f" {x['bytes'] / 1000:>7.1f} {x['median_ms']:>9.3f} {x['p99_ms']:>9.3f}"
                f" {x['decode_ms']:>9.3f} {x['record_ms']:>9.3f} {x['tell_ms']:>9.3f}"
            )
    return "\n".join(lines)


def main() -> None:
    """Run everything; print a table, or one JSON document."""
    options = argparse.ArgumentParser(prog="python -m benchmarks.listing", description=__doc__)
    options.formatter_class = argparse.RawDescriptionHelpFormatter
    options.add_argument("--wanted", type=int, default=4, help="instruments of each market")
    options.add_argument("--rounds", type=int, default=30)
    options.add_argument("--json", action="store_true", help="one document for programs")
    chosen = options.parse_args()
    result = measure(chosen.wanted, chosen.rounds)
    print(json.dumps(result) if chosen.json else table(result))


if __name__ == "__main__":
    main()
