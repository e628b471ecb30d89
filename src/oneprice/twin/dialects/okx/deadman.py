"""The dead man's switch: cancel-all-after timers of accounts and of their order tags."""

import msgspec

from oneprice.model.units import SECOND
from oneprice.twin.contract import AccountSpec, Exchange
from oneprice.twin.dialects.okx.envelope import Failure, Row
from oneprice.twin.dialects.okx.fields import Fields, wrong
from oneprice.twin.dialects.okx.names import TAG
from oneprice.twin.dialects.okx.notes import Notes

SOURCE = "20"  # cancelSource of what it cancels
LEAST_S, MOST_S = 10, 120
TAGS_MOST = 20


class Timer(msgspec.Struct, frozen=True):
    account: str
    tag: str  # "" for all orders of the account


class DeadMan:
    """Timers that clients wind up again and again; who stops winding loses the orders."""

    def __init__(self, exchange: Exchange, notes: Notes) -> None:
        self._exchange = exchange
        self._notes = notes
        self._due: dict[Timer, int] = {}

    def wind(self, account: AccountSpec, fields: Fields, at: int) -> Row:
        """Set, set again or (0) switch off a timer; the answer's times are in seconds."""
        seconds = fields.whole("timeOut", -1)
        tag = fields.text("tag")
        if tag and not TAG.fullmatch(tag):
            raise wrong("tag")
        if seconds != 0 and not LEAST_S <= seconds <= MOST_S:
            raise wrong("timeOut")
        timer = Timer(account.key, tag)
        if seconds == 0:
            self._due.pop(timer, None)
            return {"triggerTime": "0", "tag": tag, "ts": str(at // SECOND)}
        tags = sum(one.account == account.key and bool(one.tag) for one in self._due)
        if tag and timer not in self._due and tags >= TAGS_MOST:
            raise Failure("51071", "You've reached the maximum limit for tag level cancel all "
                          "after timers.")
        self._due[timer] = at + seconds * SECOND
        return {
            "triggerTime": str(self._due[timer] // SECOND),
            "tag": tag,
            "ts": str(at // SECOND),
        }

    def beat(self, at: int) -> None:
        """Cancel what timers that ran out are about."""
        for timer in [one for one, due in self._due.items() if due <= at]:
            del self._due[timer]
            for order in self._exchange.orders(timer.account, only_open=True):
                if timer.tag in ("", order.echo.get("tag", "")):
                    self._notes.sources[order.id] = SOURCE
                    self._exchange.cancel(timer.account, order.id, at)
