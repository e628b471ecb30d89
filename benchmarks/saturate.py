"""Rate compliance: ask a twin for all it allows, and see that it never has to refuse.

    python -m benchmarks.saturate [--minutes 10] [--venue bybit ...] [--json]

Orders that miss, cancels, questions and data requests are kept waiting for every allowance of a
venue at once, so that each allowance that can bind does. Reported per allowance: what was used of
what was granted; and how often the venue refused for rate, by its status codes and in its words.
A kind of request is saturated when one of the allowances it needs was used to 95 %.
"""

import argparse
import asyncio
import json
import sys
import time
from collections.abc import Callable, Sequence
from typing import Any

import msgspec

from oneprice.app.build import VENUES, spec_of, wanted_of
from oneprice.app.cards.play import chosen_instruments
from oneprice.app.config import VenueConfig
from oneprice.app.lab import start_lab, twin_endpoints
from oneprice.app.station import Station
from oneprice.cli.speech import quiet_logs
from oneprice.model.commands import (
    AnyCommand,
    CancelOrder,
    PlaceOrder,
    Priority,
    QueryKey,
    QueryOrder,
)
from oneprice.model.events import OrderRefused
from oneprice.model.units import SECOND, Lots, Side, Ticks
from oneprice.twin.build import DIALECTS
from oneprice.venues.contract import Ack, HistoryWanted, Request

SPREAD_S = 0.002
RATE_STATUSES = (403, 418, 429)
GOAL = 0.95
Make = Callable[[], tuple[str, Request] | None]


class Load:
    """Everything one venue can be asked, one maker for each different set of allowances."""

    def __init__(self, station: Station, config: VenueConfig) -> None:
        self.station = station
        self.names = [want.instrument for want in wanted_of(config)]
        self.kinds: dict[tuple[str, ...], Make] = {}
        self._count = 0
        feed = station.feed
        for name in self.names:
            market = name.split(":")[1]
            self._add("feed", lambda n=name: feed.snapshot(n))
            self._add("trade", lambda n=name: self._said(self._order(n)))
            unknown = f"s0g{self.names.index(name)}o0"
            self._add(
                "trade",
                lambda n=name, o=unknown: self._said(CancelOrder(order_id=o, instrument=n)),
            )
            self._add(
                "trade", lambda n=name, o=unknown: self._said(QueryOrder(order_id=o, instrument=n))
            )
            self._add("feed", lambda m=market: next(iter(feed.instruments([m])), None))
            self._add("feed", lambda n=name: next(iter(feed.history(self._past(n))), None))
        self._add("feed", feed.clock)
        self._add("trade", lambda: self._said(QueryKey(venue=station.venue)))

    def _add(self, side: str, make: Callable[[], Request | None]) -> None:
        first = make()
        if first is None or not first.cost:
            return
        names = tuple(name for name, _ in first.cost)

        def made() -> tuple[str, Request] | None:
            request = make()
            return None if request is None else (side, request)

        self.kinds.setdefault(names, made)

    def _said(self, command: AnyCommand) -> Request | None:
        assert self.station.trade is not None
        said = self.station.trade.encode(command, self.station.clock.now())
        return next(iter(said), None)

    def _order(self, name: str) -> PlaceOrder:
        """Buys well below the market, at once or not at all: it misses."""
        self._count += 1
        book = self.station.feed.books[name]
        touch = book.bid_ticks or 1
        return PlaceOrder(
            order_id=f"s{self.station.clock.now() // SECOND:x}g{self._count}o1",
            group="saturate",
            instrument=name,
            side=Side.BUY,
            ticks=Ticks(touch - touch // 300),
            lots=Lots(10),
        )

    def _past(self, name: str) -> HistoryWanted:
        end = self.station.clock.venue_ms(self.station.venue)
        return HistoryWanted(instrument=name, kind="trade", start_ms=end - 600_000, end_ms=end)


class Count(msgspec.Struct):
    sent: int = 0
    refused: dict[str, int] = {}

    def refuse(self, what: str) -> None:
        self.refused[what] = self.refused.get(what, 0) + 1


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
        return await _load(station, config, seconds)
    finally:
        await station.close()
        await lab.close()


async def _load(station: Station, config: VenueConfig, seconds: float) -> dict[str, Any]:
    gateway, pacer, count = station.gateway, station.gateway.outbox.pacer, Count()
    spent: dict[str, int] = {}
    spend, hear = pacer.spend, gateway._http.send

    def counted(cost: Sequence[tuple[str, int]], now: int) -> None:
        for name, amount in cost:
            spent[name] = spent.get(name, 0) + amount
        spend(cost, now)

    async def heard(request: Request) -> Any:
        answer = await hear(request)
        if answer.status in RATE_STATUSES:
            count.refuse(f"status {answer.status} {request.tag.partition(':')[0]}")
        return answer

    pacer.spend = counted  # type: ignore[method-assign]
    gateway._http.send = heard  # type: ignore[method-assign]
    load = Load(station, config)
    begin, mark = time.monotonic(), station.mark()
    tasks = [asyncio.create_task(_feed(station, make, count)) for make in load.kinds.values()]
    await asyncio.sleep(seconds)
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
    took = time.monotonic() - begin
    for output in station.heard[mark:]:
        if isinstance(output, Ack) and output.kind == "rate":
            count.refuse(f"rate {output.bucket}: {output.text[:60]}")
        elif isinstance(output, OrderRefused) and output.reason in ("rate_limited", "banned"):
            count.refuse(f"order {output.reason}: {output.text[:60]}")
    return _report(station, load, spent, count, took)


async def _feed(station: Station, make: Make, count: Count) -> None:
    outbox, gateway = station.gateway.outbox, station.gateway
    while True:
        made = make()
        if made is None:
            return
        side, request = made
        await outbox.turn(request.cost, Priority.UNWIND)
        made = make()  # signed and stamped when it leaves, so said anew
        if made is None:
            return
        side, request = made
        count.sent += 1
        if side == "feed":
            station.runtime.spawn(_ask(station, request), request.tag)
        else:
            gateway._send(request)
        await asyncio.sleep(0)


async def _ask(station: Station, request: Request) -> None:
    gateway = station.gateway
    gateway._answered("feed", await gateway._hear(request))


def _report(
    station: Station, load: Load, spent: dict[str, int], count: Count, took: float
) -> dict[str, Any]:
    used = {}
    buckets = station.gateway.outbox.pacer._buckets
    for name, amount in spent.items():
        if name in buckets:
            limit = buckets[name].limit
            granted = limit.count * took * 1000 / limit.per_ms
            # Before a long window is over it can grant no more than its count.
            used[name] = round(amount / max(granted, limit.count), 4)
    saturated = {
        " + ".join(names): max((used.get(name, 0.0) for name in names), default=0.0)
        for names in load.kinds
    }
    return {
        "venue": station.venue,
        "seconds": round(took, 1),
        "requests": count.sent,
        "refused_for_rate": sum(count.refused.values()),
        "refusals": count.refused,
        "used": used,
        "kinds": saturated,
        "least": min(saturated.values(), default=0.0),
        "failure": station.runtime.failure,
    }


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
            print(
                f"{venue:8} {result['seconds']:6} s  {result['requests']:7} requests  "
                f"{result['refused_for_rate']} refused for rate  "
                f"least used allowance {result['least']:.1%}"
            )
            for name, part in sorted(result["used"].items()):
                print(f"           {name:32} {part:.1%}")
    if options.json:
        print(json.dumps(results))
    good = all(not r["refused_for_rate"] and r["least"] >= GOAL for r in results)
    sys.exit(0 if good else 1)


if __name__ == "__main__":
    main()
