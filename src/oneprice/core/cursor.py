"""The cursor: how far the fills of each market have been told, and when to ask on from there.

A stream can lose a fill without a sign. So every market is asked for its fills regularly, after
its private connection was away, when its position is in doubt, and after a restart: each time
from where the venue's last complete answer ended, less an overlap, since lists of fills lag.
"""

from oneprice.core.account import Accounts, MarketKey
from oneprice.core.market import Market
from oneprice.model.commands import AnyCommand, QueryFills, SetTimer
from oneprice.model.events import FillsTold
from oneprice.model.settings import OrderSettings
from oneprice.model.units import MILLI, Nanos

FILLS_TIMER = "fills"


class FillCursor:
    """One moment per market, in the venue's clock; it only moves forward."""

    def __init__(self, settings: OrderSettings, market: Market, accounts: Accounts) -> None:
        self._settings = settings
        self._market = market
        self._accounts = accounts
        self._told: dict[MarketKey, int] = {}  # epoch milliseconds

    def told(self, event: FillsTold) -> str:
        """A market's fills are complete up to a moment. Says which part of them the venue could
        not tell any more, "" where nothing is missing."""
        key = (event.venue, event.market)
        before = self._complete_ms(key)
        # Nobody can tell what has not happened yet.
        until = min(event.until_ms, event.at // MILLI)
        self._told[key] = max(self._told.get(key, until), until)
        if before is None or event.since_ms <= before:
            return ""
        return f"fills from {before} to {event.since_ms} ms could not be told"

    def since_ms(self, key: MarketKey) -> int | None:
        """From when on a market must be asked; None before it was first checked."""
        from_ms = self._complete_ms(key)
        return None if from_ms is None else max(0, from_ms - self._settings.fills_overlap_ms)

    def _complete_ms(self, key: MarketKey) -> int | None:
        """Until when nothing is missing: at its opening nothing of a market is."""
        told = self._told.get(key)
        checked = self._accounts.checked_at.get(key)
        return checked // MILLI if told is None and checked is not None else told

    def ask(self, key: MarketKey) -> list[AnyCommand]:
        """Ask one market on."""
        since_ms = self.since_ms(key)
        if since_ms is None:
            return []
        return [QueryFills(venue=key[0], market=key[1], since_ms=since_ms)]

    def ask_all(self, venue: str = "") -> list[AnyCommand]:
        """Ask every market that was checked (of one venue)."""
        return [
            command
            for key in self._accounts.checked_at
            if not venue or key[0] == venue
            for command in self.ask(key)
        ]

    def set_timer(self) -> SetTimer:
        due = self._market.now + self._settings.fills_every_ms * MILLI
        return SetTimer(timer=FILLS_TIMER, due=Nanos(due))
