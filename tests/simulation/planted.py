"""Planted bugs: small wrongs put into the house on purpose, each of which the simulation must see.

Every bug is a context in which one function of core or shell behaves as a careless author might
have written it. `table` runs worlds until each is caught, and prints by what and how soon.
"""

import contextlib
import sys
from collections.abc import Callable, Iterable, Iterator
from typing import Any

import msgspec

from oneprice.app.world.campaign import safely
from oneprice.app.world.simulate import Result
from oneprice.core import gate
from oneprice.core.bookkeeper import Bookkeeper
from oneprice.core.groups import Groups
from oneprice.core.ledger import Ledger
from oneprice.core.orders import Orders, OrderState
from oneprice.core.repairs import Repairs
from oneprice.model.commands import PlaceOrder
from oneprice.model.events import OrderFilled
from oneprice.shell.clock import Clock
from oneprice.shell.resync import Resync
from oneprice.shell.runtime import Runtime
from oneprice.venues.binance import feed as binance_feed
from oneprice.venues.bybit import feed as bybit_feed
from oneprice.venues.okx import books as okx_books

SEEDS_MAX = 120


@contextlib.contextmanager
def _instead(owner: Any, name: str, put: Callable[[Any], Any]) -> Iterator[None]:
    """While it lasts `owner.name` is what `put` makes of the right one."""
    right = getattr(owner, name)
    setattr(owner, name, put(right))
    try:
        yield
    finally:
        setattr(owner, name, right)


def hedge_the_full_size() -> contextlib.AbstractContextManager[None]:
    """A repair is as large as the leg, not as what is missing of it."""

    def put(right: Any) -> Any:
        def wrong(self: Repairs, group: Any, asset: Any, delta: Any) -> Any:
            found = right(self, group, asset, delta)
            return [msgspec.structs.replace(one, lots=one.leg.lots) for one in found]

        return wrong

    return _instead(Repairs, "of", put)


def drop_a_late_fill() -> contextlib.AbstractContextManager[None]:
    """A fill of an order that was given up is not counted."""

    def put(right: Any) -> Any:
        def wrong(self: Orders, message: Any, **more: Any) -> Any:
            order = self.get(message.order_id)
            late = order is not None and order.state is OrderState.UNKNOWN
            if isinstance(message, OrderFilled) and late:
                order.filled += message.lots
                lost = msgspec.structs.replace(message, order_id="nobody")
                return right(self, lost, strangers_count=False)
            return right(self, message, **more)

        return wrong

    return _instead(Orders, "hear", put)


def resend_on_timeout() -> contextlib.AbstractContextManager[None]:
    """An order that was not answered is sent again under another id."""

    def put(right: Any) -> Any:
        def wrong(self: Orders, order: Any, at: Any, reason: str) -> Any:
            heard = right(self, order, at, reason)
            if not order.settled and not order.id.endswith("r"):
                again = PlaceOrder(
                    order_id=order.id + "r",
                    group=order.group,
                    instrument=order.instrument,
                    side=order.side,
                    ticks=order.ticks,
                    lots=order.lots,
                )
                heard.commands.append(again)
            return heard

        return wrong

    return _instead(Orders, "_uncertain", put)


def wrong_sign_of_fees() -> contextlib.AbstractContextManager[None]:
    """A fee is booked as a rebate."""

    def put(right: Any) -> Any:
        return lambda self, facts: right(self, msgspec.structs.replace(facts, fee=-facts.fee))

    return _instead(Ledger, "fill", put)


def fee_from_another_coin() -> contextlib.AbstractContextManager[None]:
    """Every fee is taken from the quote, whatever the venue took it from."""

    def put(right: Any) -> Any:
        def wrong(self: Ledger, facts: Any) -> Any:
            quote = facts.instrument.quote
            return right(self, msgspec.structs.replace(facts, fee_asset=quote))

        return wrong

    return _instead(Ledger, "fill", put)


@contextlib.contextmanager
def ignore_a_gap() -> Iterator[None]:
    """The numbers of book changes are not compared."""

    def put(right: Any) -> Any:
        return lambda facts: right(msgspec.structs.replace(facts, rule="none"))

    with contextlib.ExitStack() as stack:
        for module in (bybit_feed, okx_books, binance_feed):
            stack.enter_context(_instead(module, "DepthReader", put))
        yield


def count_a_doubled_fill() -> contextlib.AbstractContextManager[None]:
    """The same fill told twice counts twice."""

    def put(right: Any) -> Any:
        def wrong(self: Orders, order: Any, fill: Any, **more: Any) -> Any:
            self._fills.clear()
            return right(self, order, fill, **more)

        return wrong

    return _instead(Orders, "_filled", put)


def forget_unknown_orders() -> contextlib.AbstractContextManager[None]:
    """Nobody asks what became of an order that was not answered."""
    return _instead(Orders, "ask", lambda _: lambda self, order, at: [])


def never_unwind() -> contextlib.AbstractContextManager[None]:
    """A leading leg is never given back."""

    def put(right: Any) -> Any:
        def wrong(self: Repairs, group: Any, asset: Any, delta: Any) -> Any:
            return [one for one in right(self, group, asset, delta) if not one.back]

        return wrong

    return _instead(Repairs, "of", put)


def call_half_filled_hedged() -> contextlib.AbstractContextManager[None]:
    """Legs that differ count as legs that agree."""
    return _instead(Repairs, "needed", lambda _: lambda self, group: [])


def cancel_is_done() -> contextlib.AbstractContextManager[None]:
    """An order counts as ended when its cancel was asked for."""

    def put(right: Any) -> Any:
        def wrong(self: Groups, group: Any) -> Any:
            commands = right(self, group)
            for order in group.orders:
                order.state, order.claimed = OrderState.DONE, order.filled
                self._orders._open.pop(order.id, None)
            return commands

        return wrong

    return _instead(Groups, "_pull", put)


def count_funding_twice() -> contextlib.AbstractContextManager[None]:
    """A settlement told by the stream and by the list is booked both times."""

    def put(right: Any) -> Any:
        def wrong(self: Bookkeeper, event: Any) -> Any:
            right(self, msgspec.structs.replace(event, record_id=event.record_id + "again"))
            return right(self, event)

        return wrong

    return _instead(Bookkeeper, "funding", put)


@contextlib.contextmanager
def _rule_always_holds(name: str) -> Iterator[None]:
    rules = tuple(
        rule._replace(holds=lambda intent, facts: True) if rule.name == name else rule
        for rule in gate.DEFAULT_RULES
    )
    with _instead(gate.Gate, "__init__", lambda right: lambda self, _: right(self, rules)):
        yield


def enter_with_an_open_clutch() -> contextlib.AbstractContextManager[None]:
    """The clutch opens, and new risk is taken all the same."""
    return _rule_always_holds("clutch_is_closed")


def ignore_the_pace() -> contextlib.AbstractContextManager[None]:
    """As many groups in a second as there are edges."""
    return _rule_always_holds("pace_is_calm")


def ignore_exposure() -> contextlib.AbstractContextManager[None]:
    """The most that may be held at one venue is not looked at."""
    return _rule_always_holds("exposure_is_small")


def forget_reduce_only() -> contextlib.AbstractContextManager[None]:
    """Exits do not say that they only reduce."""

    def put(right: Any) -> Any:
        def wrong(self: Groups, group: Any, command: Any, *more: Any, **other: Any) -> Any:
            command = msgspec.structs.replace(command, reduce_only=False)
            return right(self, group, command, *more, **other)

        return wrong

    return _instead(Groups, "place", put)


def send_before_the_journal() -> contextlib.AbstractContextManager[None]:
    """Orders leave, and are written down afterwards."""

    def put(right: Any) -> Any:
        def wrong(self: Runtime) -> None:
            log, held = self._log, []
            self._log = type("Late", (), {"append": lambda _, turn: held.append(turn)})()
            try:
                right(self)
            finally:
                self._log = log
            for turn in held:
                log.append(turn)

        return wrong

    return _instead(Runtime, "end_turn", put)


def give_up_lost_books() -> contextlib.AbstractContextManager[None]:
    """A book that was lost is not asked for again."""

    def put(right: Any) -> Any:
        def wrong(self: Resync, instrument: Any, *, first: bool) -> None:
            if first:
                right(self, instrument, first=first)

        return wrong

    return _instead(Resync, "_start", put)


def sign_with_our_own_clock() -> contextlib.AbstractContextManager[None]:
    """How far the venue's clock is off is measured and not used."""
    return _instead(Clock, "venue_ms", lambda _: lambda self, venue: self.now() // 1_000_000)


def forget_timers() -> contextlib.AbstractContextManager[None]:
    """No patience ever ends."""
    return _instead(Runtime, "_set_timer", lambda _: lambda self, name, due: None)


BUGS: dict[str, Callable[[], contextlib.AbstractContextManager[None]]] = {
    bug.__name__: bug
    for bug in (
        hedge_the_full_size,
        drop_a_late_fill,
        resend_on_timeout,
        wrong_sign_of_fees,
        fee_from_another_coin,
        ignore_a_gap,
        count_a_doubled_fill,
        forget_unknown_orders,
        never_unwind,
        call_half_filled_hedged,
        cancel_is_done,
        count_funding_twice,
        enter_with_an_open_clutch,
        ignore_the_pace,
        ignore_exposure,
        forget_reduce_only,
        send_before_the_journal,
        give_up_lost_books,
        sign_with_our_own_clock,
        forget_timers,
    )
}


class Caught(msgspec.Struct, frozen=True):
    """After how many seeds a planted bug was seen, and by which rules; 0: never."""

    bug: str
    seeds: int
    seed: int
    rules: tuple[str, ...]


def catch(bug: str, seeds: Iterable[int] = range(SEEDS_MAX)) -> Caught:
    """Run worlds with a bug in the house until one sees it."""
    with BUGS[bug]():
        for count, seed in enumerate(seeds, 1):
            result = safely(seed)
            if result.violations:
                return Caught(bug, count, seed, rules_of(result))
    return Caught(bug, 0, -1, ())


def rules_of(result: Result) -> tuple[str, ...]:
    return tuple(dict.fromkeys(violation.rule for violation in result.violations))


# The first seed that sees each; tests begin with it.
CAUGHT_BY: dict[str, int] = {
    "hedge_the_full_size": 0,
    "drop_a_late_fill": 17,
    "resend_on_timeout": 1,
    "wrong_sign_of_fees": 0,
    "fee_from_another_coin": 0,
    "ignore_a_gap": 212,
    "count_a_doubled_fill": 0,
    "forget_unknown_orders": 6,
    "never_unwind": 6,
    "call_half_filled_hedged": 0,
    "cancel_is_done": 5,
    "count_funding_twice": 0,
    "enter_with_an_open_clutch": 6,
    "ignore_the_pace": 0,
    "ignore_exposure": 12,
    "forget_reduce_only": 0,
    "send_before_the_journal": 4,
    "give_up_lost_books": 7,
    "sign_with_our_own_clock": 6,
    "forget_timers": 0,
}


def table() -> Iterator[str]:
    """Every bug, after how many seeds it was caught, and by what."""
    for bug in BUGS:
        caught = catch(bug)
        seen = f"seed {caught.seed} after {caught.seeds}" if caught.seeds else "NOT CAUGHT"
        yield f"{bug:28} {seen:20} {', '.join(caught.rules)}"


if __name__ == "__main__":
    for line in table():
        sys.stdout.write(line + "\n")
