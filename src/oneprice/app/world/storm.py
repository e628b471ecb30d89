"""The storm: carries out the misfortunes of a plan at their times, and counts them."""

import asyncio
from collections.abc import Callable

import aiohttp

from oneprice.app.world.disk import MemoryDisk
from oneprice.app.world.loop import VirtualLoop
from oneprice.app.world.plan import HOW_TO_DIE, Fault, Plan
from oneprice.app.world.quarter import Quarter, Venue
from oneprice.app.world.trader import Trader
from oneprice.model.units import MILLI, SECOND
from oneprice.venues.contract import Request

DISK_SPAN = SECOND
LATE_SPAN = SECOND // 2
FLOOD_MAX = 700  # requests of a neighbour before he gives up
FLOOD_SPAN_S = 2.0
ARMED = (
    "frame_loss", "frame_repeat", "frame_late", "silence",
    "answer_lost", "answer_late", "error_before", "error_after",
)  # fmt: skip


class Storm:
    """Everything that goes wrong in one world; `trader` gives the process that lives now."""

    def __init__(
        self,
        plan: Plan,
        loop: VirtualLoop,
        quarter: Quarter,
        disk: MemoryDisk,
        trader: Callable[[], Trader],
    ) -> None:
        self.counts: dict[str, int] = {}
        self._plan = plan
        self._loop = loop
        self._quarter = quarter
        self._disk = disk
        self._trader = trader
        self._floods: list[asyncio.Task[None]] = []

    async def blow(self) -> None:
        """Every fault in its time, from now on; returns when the last one has struck."""
        begin = self._loop.now_ns
        for fault in self._plan.faults:
            await asyncio.sleep(max(0, begin + fault.at - self._loop.now_ns) / SECOND)
            self._strike(fault)
        await asyncio.sleep(max(0, begin + self._plan.trading_ns - self._loop.now_ns) / SECOND)

    def subside(self) -> None:
        """What was prepared and did not strike is taken back; bans end."""
        for venue in self._quarter.venues.values():
            venue.faults.disarm()
            venue.lift_bans()
        for task in self._floods:
            task.cancel()

    def _strike(self, fault: Fault) -> None:
        venue = self._quarter.venues[fault.venue]
        self.counts[fault.kind] = self.counts.get(fault.kind, 0) + 1
        net, now = self._loop.net, self._loop.now_ns
        match fault.kind:
            case "late":
                net.slow_down(venue.address, LATE_SPAN, fault.amount)
            case "cut":
                for wire in net.to(venue.address)[-fault.amount :]:
                    net.cut(wire)
            case "restart":
                net.refuse(venue.address, fault.amount * MILLI)
                for wire in net.to(venue.address):
                    net.cut(wire)
            case "refused":
                self._refuse(venue, fault.amount)
            case "rate":
                self._floods.append(asyncio.create_task(self._flood(venue)))
            case "skew":
                venue.ahead_ns += fault.amount * MILLI
            case "by_hand":
                venue.trade_by_hand(fault.amount)
            case "disk_slow":
                self._disk.slow_down(now + DISK_SPAN, fault.amount)
            case "disk_full":
                self._disk.fill(now + fault.amount * MILLI)
            case "crash":
                self._trader().doom(HOW_TO_DIE[fault.amount])
            case kind if kind in ARMED:
                venue.faults.arm(kind, fault.amount, self._channel(venue, fault))
            case kind:
                raise ValueError(f"fault {kind!r}: not known")

    def _channel(self, venue: Venue, fault: Fault) -> str:
        """Which frames it strikes: mostly those of one book; "" is any."""
        if not fault.kind.startswith("frame_"):
            return ""
        lines = self._trader().gateways[venue.name].lines
        books = [topic for line in lines for topic in line.topics if topic.is_book]
        if not books:
            return ""
        topic = books[fault.amount % len(books)]
        # Some venues name a channel by more than one word: what they share is the symbol.
        symbol = topic.instrument.rpartition(":")[2]
        return topic.text if topic.text.isprintable() and "{" not in topic.text else symbol

    def _refuse(self, venue: Venue, ms: int) -> None:
        exchange, clock = venue.exchange, venue.running.twin.clock
        exchange.pause(clock(), word="venue_busy")
        self._loop.call_later(ms / 1000, lambda: exchange.pause(clock(), word=""))

    async def _flood(self, venue: Venue) -> None:
        """A neighbour at our address asks until the venue has had enough."""
        request = self._question(venue)
        base = (
            venue.endpoints(self._trader().desk.dialect(venue.name).feed.spec)[request.host]
        )
        query = f"?{request.query}" if request.query else ""
        connector = aiohttp.UnixConnector(venue.address, limit=1, keepalive_timeout=None)
        try:
            async with asyncio.timeout(FLOOD_SPAN_S), aiohttp.ClientSession(
                connector=connector
            ) as session:
                for _ in range(FLOOD_MAX):
                    async with session.get(base + request.path + query) as answer:
                        if answer.status not in (200, 404):
                            return
        except (TimeoutError, aiohttp.ClientError):
            return  # the venue restarts, or is slow: it is a misfortune less

    def _question(self, venue: Venue) -> Request:
        """What costs most and needs no key."""
        feed = self._trader().desk.dialect(venue.name).feed
        first = self._trader().desk.dialect(venue.name).feed.books
        for instrument in first:
            request = feed.snapshot(instrument)
            if request is not None and not request.signed:
                return request
        return feed.clock()
