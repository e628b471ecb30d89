"""Rate compliance: ask a twin for all it allows, and see that it never has to refuse.

    python -m benchmarks.saturate [--minutes 10] [--venue bybit ...] [--json]

Orders that miss, amends and cancels of orders that are not there, questions and data requests are
kept waiting for every allowance of a venue at once, so that each allowance that can bind does.
Reported per allowance: what was spent of what the venue publishes, over the windows that began
and ended within the run; and how often the venue refused for rate, by its status codes and in its
words. A kind of request is saturated when one of the allowances it needs was used to 95 %: the
others of it had to stay idle. The exit status is 1 where a kind was not, or a refusal came.
"""

import argparse
import asyncio
import json
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from decimal import Decimal
from functools import partial
from typing import Any, Literal

import msgspec

from oneprice.app.build import VENUES, spec_of, wanted_of
from oneprice.app.cards.play import chosen_instruments
from oneprice.app.config import VenueConfig
from oneprice.app.lab import start_lab, twin_endpoints
from oneprice.app.station import Station
from oneprice.cli.speech import quiet_logs
from oneprice.model.commands import (
    AmendOrder,
    AnyCommand,
    CancelAll,
    CancelOrder,
    PlaceOrder,
    Priority,
    QueryAccount,
    QueryKey,
    QueryOrder,
    SetLeverage,
)
from oneprice.model.units import MILLI, SECOND, Lots, OrderId, Side, Ticks
from oneprice.shell.pacing import Trip
from oneprice.twin.build import DIALECTS
from oneprice.venues.contract import Ack, HistoryWanted, Limit, Request

RATE_STATUSES = (403, 418, 429)
GOAL = 0.95
HASTE = 0.85  # of the time between two requests at the full allowance
BATCH = 5  # orders in one request; every venue with batches takes so many
Kinds = Literal["trade", "mark", "index", "funding"]
HISTORIES: tuple[Kinds, ...] = ("trade", "mark", "index", "funding")
Make = Callable[[], Sequence[Request]]


class Kind(msgspec.Struct):
    """Requests that need the same allowances, and how another one of them is made."""

    side: str
    make: Make
    first: Request
    names: tuple[str, ...]

    def another(self) -> Request:
        """A fresh one; where the dialect has nothing to ask anew, the first one again."""
        return next((r for r in self.make() if self.names == _names(r)), self.first)


def _names(request: Request) -> tuple[str, ...]:
    return tuple(name for name, _ in request.cost)


class Load:
    """Everything one venue can be asked: one kind for each different set of allowances."""

    def __init__(self, station: Station, config: VenueConfig) -> None:
        assert station.trade is not None
        self.station, self.trade = station, station.trade
        self.kinds: dict[tuple[str, ...], Kind] = {}
        self._count = 0
        # Two are enough: one without and one with contracts, where a venue has both.
        names = [w.instrument for w in wanted_of(config)]
        markets = dict.fromkeys(name.split(":")[1] for name in names)
        chosen = [next(n for n in names if n.split(":")[1] == market) for market in markets]
        for name in chosen[:2]:
            self._orders(name)
        for name in chosen:
            self._questions(name)
        self._add("feed", lambda: (station.feed.clock(),))
        self._add("trade", lambda: self._said(QueryKey(venue=station.venue)))

    def _orders(self, name: str) -> None:
        self._add("trade", lambda: self._said(self._order(name)))
        self._add("trade", lambda: self._said(self._cancel(name)))
        self._add("trade", lambda: self._said(self._amend(name)))
        self._add("trade", lambda: self._many(self._order, name))
        self._add("trade", lambda: self._many(self._cancel, name))
        self._add("trade", lambda: self._many(self._amend, name))
        self._add("trade", lambda: self._said(CancelAll(instrument=name)))

    def _questions(self, name: str) -> None:
        feed, venue, market = self.station.feed, self.station.venue, name.split(":")[1]
        self._add("feed", lambda: feed.instruments([market]))
        self._add("feed", lambda: [one] if (one := feed.snapshot(name)) else [])
        for kind in HISTORIES:
            self._add("feed", partial(self._history, name, kind))
        self._add("trade", lambda: self._said(QueryOrder(order_id=self._id(), instrument=name)))
        self._add("trade", lambda: self._said(QueryAccount(venue=venue, market=market)))
        five = Decimal(5)
        self._add("trade", lambda: self._said(SetLeverage(instrument=name, leverage=five)))

    def _add(self, side: str, make: Make) -> None:
        try:
            made = make()
        except ValueError:  # the venue has no such request
            return
        for request in made:
            names = _names(request)
            if names:
                self.kinds.setdefault(names, Kind(side, make, request, names))

    def _said(self, command: AnyCommand) -> Sequence[Request]:
        return self.trade.encode(command, self.station.clock.now())

    def _many(self, make: Callable[[str], AnyCommand], name: str) -> Sequence[Request]:
        return self.trade.batch([make(name) for _ in range(BATCH)], self.station.clock.now())

    def _id(self) -> OrderId:
        self._count += 1
        return f"s{self.station.clock.now() // SECOND:x}g{self._count}o1"

    def _order(self, name: str) -> PlaceOrder:
        """Buys well below the market, at once or not at all: it misses."""
        touch = self.station.feed.books[name].bid_ticks or 1
        return PlaceOrder(
            order_id=self._id(),
            group="saturate",
            instrument=name,
            side=Side.BUY,
            ticks=Ticks(touch - touch // 300),
            lots=Lots(10),
        )

    def _cancel(self, name: str) -> CancelOrder:
        return CancelOrder(order_id=self._id(), instrument=name)

    def _amend(self, name: str) -> AmendOrder:
        order = self._order(name)
        return AmendOrder(
            order_id=order.order_id,
            instrument=name,
            side=order.side,
            ticks=order.ticks,
            lots=order.lots,
        )

    def _history(self, name: str, kind: Kinds) -> Sequence[Request]:
        end = self.station.clock.venue_ms(self.station.venue)
        wanted = HistoryWanted(instrument=name, kind=kind, start_ms=end - 600_000, end_ms=end)
        return self.station.feed.history(wanted)


class Count(msgspec.Struct):
    """What was sent, spent and refused."""

    sent: int = 0
    refused: dict[str, int] = {}
    spent: dict[str, list[tuple[int, int]]] = {}  # allowance -> when (venue's time), how much

    def refuse(self, what: str) -> None:
        self.refused[what] = self.refused.get(what, 0) + 1

    def used(self, name: str, limit: Limit, run: tuple[int, int]) -> float | None:
        """The part used of all windows that lie within the run; None where none does."""
        begin, end = run
        span = limit.per_ms * MILLI
        if limit.window == "calendar":
            begin = -(-begin // span) * span
        windows = (end - begin) // span
        if windows <= 0:
            return None
        last = begin + windows * span
        amount = sum(much for when, much in self.spent[name] if begin <= when < last)
        return amount / (windows * limit.count)


async def saturate(venue: str, seconds: float) -> dict[str, Any]:
    """Load one twin for so long; usage by allowance, refusals, what was sent."""
    quiet_logs(level=50)
    config = VenueConfig(name=venue, instruments=tuple(chosen_instruments(venue)))
    lab = await start_lab([venue], "seed:7")
    ready = lab.twins[venue]
    ends = twin_endpoints(venue, ready.rest, ready.ws, spec_of(venue).hosts["live"])
    station = Station(config, ready.credentials(), ends, wanted_of(config))
    try:
        await station.gateway.prepare()
        await station.gateway.open()
        await station.until(lambda: station.gateway.settled, "everything connected", 20)
        return await drive(station, Load(station, config), seconds)
    finally:
        await station.close()
        await lab.close()


async def drive(station: Station, load: Load, seconds: float) -> dict[str, Any]:
    """Ask for every kind of a load for so long; what came of it."""
    gateway, pacer, count = station.gateway, station.gateway.outbox.pacer, Count()
    spend, hear = pacer.spend, gateway._http.send

    def counted(cost: Sequence[tuple[str, int]], now: int) -> Trip:
        for name, amount in cost:
            count.spent.setdefault(name, []).append((now + pacer.ahead_ns, amount))
        return spend(cost, now)

    async def heard(request: Request) -> Any:
        answer = await hear(request)
        if answer.status in RATE_STATUSES:
            count.refuse(f"status {answer.status} {request.tag.partition(':')[0]}")
        return answer

    pacer.spend = counted  # type: ignore[method-assign]
    gateway._http.send = heard  # type: ignore[method-assign]
    begin, mark = station.clock.now() + pacer.ahead_ns, station.mark()
    tasks = [asyncio.create_task(_feed(station, kind, count)) for kind in load.kinds.values()]
    await asyncio.sleep(seconds)
    run = begin, station.clock.now() + pacer.ahead_ns
    broken = [task.exception() for task in tasks if task.done()]
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
    for output in station.heard[mark:]:
        if isinstance(output, Ack) and output.kind == "rate":
            count.refuse(f"rate {output.bucket}: {output.text[:60]}")
        elif getattr(output, "reason", "") in ("rate_limited", "banned"):
            what = f"{type(output).__name__} {getattr(output, 'text', '')[:60]}"
            count.refuse(what)
    failure = station.runtime.failure or "; ".join(map(repr, broken))
    return _report(station, load, count, run) | {"failure": failure}


async def _feed(station: Station, kind: Kind, count: Count) -> None:
    outbox, gateway = station.gateway.outbox, station.gateway
    request = kind.first
    gap_s = max(_gap_s(outbox.pacer.limit(name), amount) for name, amount in request.cost)
    due = time.monotonic()
    while True:
        due += gap_s
        await asyncio.sleep(max(0.0, due - time.monotonic()))
        trip = await outbox.turn(request.cost, Priority.UNWIND)
        # Said anew: an order is stamped, and its price meant, when it leaves.
        request = kind.another()
        count.sent += 1
        if kind.side == "feed":
            station.runtime.spawn(_ask(station, request, trip), request.tag)
        else:
            gateway._send(request, trip)


def _gap_s(limit: Limit | None, amount: int) -> float:
    """A little less than an allowance asks for: demand is steady, and always above it."""
    return HASTE * amount * limit.per_ms / limit.count / 1000 if limit is not None else 0.0


async def _ask(station: Station, request: Request, trip: Trip) -> None:
    """Asks; the answer goes to the dialect alone, for the shell asks for the time, too."""
    answer = await station.gateway._hear(request, trip)
    station.heard.extend(station.feed.answered(answer, station.clock.now()))


def _report(station: Station, load: Load, count: Count, run: tuple[int, int]) -> dict[str, Any]:
    pacer = station.gateway.outbox.pacer
    used: dict[str, float] = {}
    longer: dict[str, str] = {}
    for name in count.spent:
        limit = pacer.limit(name)
        if limit is None:
            continue
        part = count.used(name, limit, run)
        if part is None:
            amount = sum(much for _, much in count.spent[name])
            longer[name] = f"{amount} of {limit.count} in {limit.per_ms // 1000} s"
        else:
            used[name] = round(part, 4)
    # A kind none of whose windows fits into the run cannot be judged by it.
    kinds = {
        " + ".join(names): max(used[name] for name in names if name in used)
        for names in load.kinds
        if any(name in used for name in names)
    }
    return {
        "venue": station.venue,
        "seconds": round((run[1] - run[0]) / SECOND, 1),
        "requests": count.sent,
        "refused_for_rate": sum(count.refused.values()),
        "refusals": count.refused,
        "used": used,
        "longer_than_the_run": longer,
        "kinds": kinds,
        "least": min(kinds.values(), default=0.0),
    }


def _print(result: Mapping[str, Any]) -> None:
    print(
        f"{result['venue']}: {result['seconds']:.0f} s, {result['requests']} requests, "
        f"{result['refused_for_rate']} refused for rate; "
        f"the least saturated kind of request used {result['least']:.1%} of its allowance"
    )
    for what, times in sorted(result["refusals"].items()):
        print(f"  refused {times} times: {what}")
    for name, part in sorted(result["used"].items()):
        needed = [kind for kind in result["kinds"] if name in kind.split(" + ")]
        idle = [k for k in needed if result["kinds"][k] < GOAL]
        note = ""
        if idle:
            note = "LEFT IDLE"
        elif part < GOAL:
            binding = {n for k in needed for n in k.split(" + ")} - {name}
            full = sorted(n for n in binding if result["used"].get(n, 0.0) >= GOAL)
            note = f"cannot bind: {', '.join(full)} bind first" if full else ""
        print(f"  {name:32} {part:7.1%}  {note}".rstrip())
    for name, what in sorted(result["longer_than_the_run"].items()):
        print(f"  {name:32} {what}: longer than the run")
    if result["failure"]:
        print(f"  broken: {result['failure']}")


def main() -> None:
    """Load every venue in turn; exit status 1 where one refused, or an allowance lay idle."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--minutes", type=float, default=10.0)
    parser.add_argument("--venue", action="append", choices=sorted(VENUES))
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    results = []
    for venue in options.venue or [name for name in VENUES if name in DIALECTS]:
        result = asyncio.run(saturate(venue, options.minutes * 60))
        results.append(result)
        if not options.json:
            _print(result)
    if options.json:
        print(json.dumps(results))
    good = all(
        not r["refused_for_rate"] and not r["failure"] and r["least"] >= GOAL for r in results
    )
    sys.exit(0 if good else 1)


if __name__ == "__main__":
    main()
