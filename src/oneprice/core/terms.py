"""Terms: on what terms an account trades (key, position mode, leverage), against what we need.

They are compared whenever a venue has told about a market in full. A difference is a Discrepancy
and opens the clutch; where the settings allow it, it is changed instead, once, and only while
the venue shows neither a position nor an order in that market.
"""

from collections.abc import Callable
from typing import Final

from oneprice.core.account import Accounts, MarketKey
from oneprice.core.market import Market
from oneprice.core.strategy import Discrepancy
from oneprice.model.commands import (
    AnyCommand,
    QueryAccount,
    QueryKey,
    SetLeverage,
    SetPositionMode,
)
from oneprice.model.events import (
    KeyReported,
    LeverageReported,
    OpenOrderReported,
    PositionModeReported,
)
from oneprice.model.instrument import split_id
from oneprice.model.settings import AccountSettings
from oneprice.model.units import InstrumentId, plain

MODE: Final = "one_way"  # groups and ledger know one position per instrument
LOOKS: Final = 4  # checks that may still tell of what was before a change: they overtake it

TermsEvent = KeyReported | LeverageReported | OpenOrderReported | PositionModeReported


class Terms:
    """Keeps what the venues said of our terms; `found` is drained by the engine."""

    def __init__(
        self,
        settings: AccountSettings,
        market: Market,
        accounts: Accounts,
        is_at_work: Callable[[MarketKey], bool],
    ) -> None:
        self._settings = settings
        self._market = market
        self._accounts = accounts
        self._is_at_work = is_at_work
        self._asked_key: dict[str, None] = {}
        self._modes: dict[tuple[str, str, str], PositionModeReported] = {}
        self._leverages: dict[InstrumentId, LeverageReported] = {}
        self._orders: dict[MarketKey, None] = {}  # where open orders were told of
        self._changed: dict[str, int] = {}  # what we asked to be changed, and looks at it since
        self._told: dict[str, None] = {}
        self.found: list[Discrepancy] = []

    def begin(self, venue: str) -> list[AnyCommand]:
        """Ask once what the key of a venue may do."""
        if venue in self._asked_key:
            return []
        self._asked_key[venue] = None
        return [QueryKey(venue=venue)]

    def hear(self, event: TermsEvent) -> None:
        match event:
            case KeyReported():
                self._key(event)
            case PositionModeReported():
                self._modes[event.venue, event.market, event.symbol] = event
            case LeverageReported():
                self._leverages[event.instrument] = event
            case OpenOrderReported():
                venue, market, _ = split_id(event.instrument)
                self._orders[venue, market] = None

    def checked(self, key: MarketKey) -> list[AnyCommand]:
        """A market has been told in full: compare, and change what may be changed."""
        commands: list[AnyCommand] = []
        looks = sum(self._changed.values())
        still = key not in self._orders and self._is_flat(key) and not self._is_at_work(key)
        self._orders.pop(key, None)
        for mode in self._modes.values():
            if (mode.venue, mode.market) == key and mode.mode != MODE:
                wish = SetPositionMode(
                    venue=mode.venue, market=mode.market, mode=MODE, symbol=mode.symbol
                )
                subject = ":".join(part for part in (*key, mode.symbol) if part)
                commands += self._differs(
                    "position_mode", subject, (MODE, mode.mode), wish if still else None
                )
        for told in self._leverages.values():
            venue, market, _ = split_id(told.instrument)
            wanted = self._settings.leverage.get(
                told.instrument, self._settings.leverage.get(f"{venue}:{market}")
            )
            if (venue, market) != key or wanted is None or wanted == told.leverage:
                continue
            change = SetLeverage(instrument=told.instrument, leverage=wanted)
            commands += self._differs(
                "leverage",
                told.instrument,
                (plain(wanted), plain(told.leverage)),
                change if still else None,
            )
        if sum(self._changed.values()) > looks:
            commands.append(QueryAccount(venue=key[0], market=key[1]))
        return commands

    def _differs(
        self,
        kind: str,
        subject: str,
        both: tuple[str, str],
        change: SetPositionMode | SetLeverage | None,
    ) -> list[AnyCommand]:
        name = f"{kind} {subject}"
        looks = self._changed.get(name, 0)
        if self._settings.adjust and looks < LOOKS and (looks or change is not None):
            self._changed[name] = looks + 1
            return [] if looks or change is None else [change]
        self._tell(kind, subject, *both)
        return []

    def _key(self, event: KeyReported) -> None:
        if event.may_withdraw and not self._settings.withdrawal_keys:
            self._tell("key", event.venue, "a key that cannot withdraw", "one that can")
        if not event.may_trade:
            self._tell("key", event.venue, "a key that can trade", "one that cannot")

    def _tell(self, kind: str, subject: str, expected: str, found: str) -> None:
        name = f"{kind} {subject} {found}"
        if name in self._told:
            return  # audits repeat what is known
        self._told[name] = None
        self.found.append(
            Discrepancy(
                at=self._market.now, kind=kind, subject=subject, expected=expected, found=found
            )
        )

    def accept(self) -> None:
        """A person has closed the clutch: what differs still is told again at the next audit."""
        self._told.clear()
        self._changed.clear()

    def _is_flat(self, key: MarketKey) -> bool:
        return not any(
            held.lots and split_id(held.instrument)[:2] == key
            for held in self._accounts.positions.values()
        )
