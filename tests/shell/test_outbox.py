"""The outbox: urgent first, stale entries dropped, nothing sent before its way is open."""

import asyncio

import pytest

from oneprice.model.commands import Priority
from oneprice.model.units import SECOND
from oneprice.shell import outbox as module
from oneprice.shell.clock import Clock
from oneprice.shell.outbox import Outbox
from oneprice.shell.pacing import Pacer
from oneprice.venues.contract import Limit, Request

LIMIT = Limit(bucket="orders", count=2, per_ms=200)


class Way:
    """Records what went and what was given up; can be closed."""

    def __init__(self) -> None:
        self.sent: list[str] = []
        self.given_up: list[tuple[str, str]] = []
        self.open = True
        self.outbox = Outbox(
            Pacer([LIMIT]),
            Clock(),
            ready=lambda _: self.open,
            send=lambda r, _: self.sent.append(r.tag),
            give_up=lambda r, why: self.given_up.append((r.tag, why)),
        )

    def put(self, tag: str, priority: Priority) -> None:
        self.outbox.put(Request(tag=tag, priority=priority, cost=(("orders", 1),)))


async def test_what_fits_leaves_at_once() -> None:
    way = Way()
    way.put("a", Priority.UNWIND)
    way.put("b", Priority.UNWIND)
    assert way.sent == ["a", "b"]


async def test_the_urgent_overtake_those_who_wait() -> None:
    way = Way()
    for tag in ("x", "y"):
        way.put(tag, Priority.UNWIND)
    for tag, priority in (("entry", Priority.ENTRY), ("hedge", Priority.HEDGE),
                          ("unwind", Priority.UNWIND)):  # fmt: skip
        way.put(tag, priority)
    await asyncio.sleep(0.9)
    assert way.sent[:3] == ["x", "y", "unwind"]
    assert way.sent.index("hedge") < [*way.sent, "entry"].index("entry")


async def test_an_entry_that_waited_too_long_is_dropped_and_said_so() -> None:
    way = Way()
    way.open = False
    way.put("entry", Priority.ENTRY)
    way.put("cancel", Priority.CANCEL)
    await asyncio.sleep(module.ENTRY_PATIENCE_NS / 1e9 + 0.2)
    assert way.given_up == [("entry", "rate_limited")]
    way.open = True
    await asyncio.sleep(0.1)
    assert way.sent == ["cancel"]


async def test_closing_gives_up_what_waits() -> None:
    way = Way()
    way.open = False
    way.put("hedge", Priority.HEDGE)
    way.outbox.close()
    assert way.given_up == [("hedge", "closing")]
    assert way.sent == []


async def test_a_cancel_takes_back_an_order_that_still_waits_and_it_is_never_sent() -> None:
    way = Way()
    way.open = False
    order = Request(tag="place:o1", order_id="o1", priority=Priority.HEDGE)
    way.outbox.put(order)
    way.outbox.put(Request(tag="place:o2", order_id="o2", priority=Priority.HEDGE))
    way.outbox.put(Request(tag="cancel:o1", order_id="o1", priority=Priority.CANCEL))
    way.open = True
    await asyncio.sleep(0.05)
    assert way.given_up == [("place:o1", "not_sent")]
    assert way.sent == ["place:o2"]


async def test_a_cancel_of_several_orders_takes_back_those_that_still_wait() -> None:
    """Else the cancel would overtake them, and they would be sent after it."""
    way = Way()
    way.open = False
    for name in ("o1", "o2", "o3"):
        tag = f"place:{name}"
        way.outbox.put(Request(tag=tag, order_id=name, priority=Priority.HEDGE))
    every = Request(tag="cancel:many", order_ids=("o1", "o0", "o2"), priority=Priority.CANCEL)
    way.outbox.put(every)
    way.open = True
    await asyncio.sleep(0.05)
    assert way.given_up == [("place:o1", "not_sent"), ("place:o2", "not_sent")]
    assert way.sent == ["cancel:many", "place:o3"], "o0 may be at the venue"


@pytest.mark.parametrize("priority", [Priority.ENTRY, Priority.HEDGE, Priority.UNWIND])
async def test_an_order_that_a_ban_would_outlast_is_given_up_at_once(priority: Priority) -> None:
    """Whoever waits for it could give the other leg back meanwhile; and after the ban it would
    be an order for a price of then."""
    way = Way()
    cost = (("orders", 1),)
    way.open = False
    way.outbox.put(Request(tag="place:o1", order_id="o1", priority=priority, cost=cost))
    way.open = True
    way.outbox.pacer.ban("orders", Clock().now() + 20 * SECOND)
    way.outbox.put(Request(tag="place:o2", order_id="o2", priority=priority, cost=cost))
    way.outbox.put(Request(tag="query:o9", order_id="o9", priority=Priority.HEDGE, cost=cost))
    await asyncio.sleep(0.05)
    assert sorted(way.given_up) == [("place:o1", "banned"), ("place:o2", "banned")]
    assert way.sent == [] and len(way.outbox) == 1, "a question waits for the end of the ban"


async def test_a_turn_is_taken_in_line_and_counts_as_spent() -> None:
    way = Way()
    for tag in ("x", "y"):
        way.put(tag, Priority.UNWIND)
    turn = asyncio.create_task(way.outbox.turn((("orders", 1),)))
    await asyncio.sleep(0.05)
    assert not turn.done()
    way.put("urgent", Priority.UNWIND)
    await asyncio.wait_for(turn, 60)
    assert way.sent == ["x", "y", "urgent"], "the urgent one went before the turn"
    assert way.outbox.pacer.used("orders", Clock().now()) >= 1


async def test_whoever_no_longer_waits_for_a_turn_spends_nothing() -> None:
    way = Way()
    for tag in ("x", "y"):
        way.put(tag, Priority.UNWIND)
    turn = asyncio.create_task(way.outbox.turn((("orders", 2),)))
    await asyncio.sleep(0.02)
    turn.cancel()
    await asyncio.sleep(0.3)
    assert len(way.outbox) == 0
    assert way.outbox.pacer.used("orders", Clock().now()) == 0


async def test_a_large_request_is_not_starved_by_small_ones_behind_it() -> None:
    way = Way()
    way.put("x", Priority.UNWIND)
    way.outbox.put(Request(tag="large", priority=Priority.CANCEL, cost=(("orders", 2),)))
    for number in range(5):
        way.put(f"small{number}", Priority.CANCEL)
    await asyncio.sleep(1.0)
    assert way.sent[:2] == ["x", "large"]


async def test_a_shortage_of_one_allowance_holds_up_no_other() -> None:
    way = Way()
    for tag in ("x", "y", "waits"):
        way.put(tag, Priority.UNWIND)
    way.outbox.put(Request(tag="other", priority=Priority.DATA, cost=(("elsewhere", 1),)))
    assert way.sent == ["x", "y", "other"]
