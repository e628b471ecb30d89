"""What happens by itself: the dead man's switch of spot, and orders that are good till a time."""

import msgspec

from oneprice.model.units import SECOND
from oneprice.twin.contract import Exchange, Refusal
from oneprice.twin.dialects.kucoin.facts import SPOT, Facts, Sheet

SHORTEST_S, LONGEST_S = 5, 86_400


class Switch(msgspec.Struct, frozen=True):
    """`dead-cancel-all`: cancels at `due` unless it is set again before; no symbols means all."""

    timeout_s: int
    symbols: tuple[str, ...]
    set_at: int
    due: int


class Timers:
    """Kept per account and per order; `beat` carries out what is due."""

    def __init__(self, facts: Facts) -> None:
        self._facts = facts
        self._exchange: Exchange = facts.exchange
        self._switches: dict[str, Switch] = {}
        self._expiries: dict[int, tuple[str, int]] = {}  # order id: account, due

    def switch(self, key: str) -> Switch | None:
        return self._switches.get(key)

    def set_switch(self, key: str, timeout_s: int, symbols: tuple[str, ...], at: int) -> Switch:
        """A new setting replaces the old one."""
        made = Switch(timeout_s, symbols, at, at + timeout_s * SECOND)
        self._switches[key] = made
        return made

    def clear_switch(self, key: str) -> None:
        self._switches.pop(key, None)

    def expire(self, key: str, order_id: int, due: int) -> None:
        """Cancels an order (GTT) when its time has come."""
        self._expiries[order_id] = (key, due)

    def beat(self, at: int) -> None:
        for key, switch in list(self._switches.items()):
            if at >= switch.due:
                del self._switches[key]
                for sheet in self._meant(switch):
                    self._exchange.cancel_all(key, at, instrument=sheet.id)
        for order_id, (key, due) in list(self._expiries.items()):
            if at >= due:
                del self._expiries[order_id]
                self._cancel(key, order_id, at)

    def _meant(self, switch: Switch) -> list[Sheet]:
        sheets = self._facts.of(SPOT)
        if not switch.symbols:
            return sheets
        return [sheet for sheet in sheets if sheet.symbol in switch.symbols]

    def _cancel(self, key: str, order_id: int, at: int) -> None:
        try:
            self._exchange.cancel(key, order_id, at)
        except Refusal:
            return  # it was filled or cancelled before its time
