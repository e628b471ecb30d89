"""Ending everything at every venue of a configuration, with keys of one's own."""

import asyncio
import time
from collections.abc import Callable, Mapping
from pathlib import Path

import msgspec

from oneprice.app import secrets
from oneprice.app.config import ConfigError, RunConfig
from oneprice.app.control_hand import Hand
from oneprice.app.control_report import VenueLeft, is_clean
from oneprice.app.control_spot import NotReadable, SpotPurse
from oneprice.venues.contract import Credentials


class Outcome(msgspec.Struct, kw_only=True):
    """What became of it, over all rounds so far."""

    venues: list[VenueLeft] = []
    cancelled: list[str] = []
    closed: list[str] = []
    notes: list[str] = []
    rounds: int = 0
    clean: bool = False


class Everywhere:
    """Every venue, round by round; `off` says that a trader looks after it again."""

    def __init__(
        self,
        directory: Path,
        config: RunConfig,
        keys: Mapping[str, Credentials],
        off: Callable[[], bool] | None = None,
    ) -> None:
        self._directory = directory
        self._config = config
        self._keys = keys
        self._off = off if off is not None else bool

    async def look(self) -> list[VenueLeft]:
        """What is there, at every venue; nothing is changed."""
        hands = self._hands()
        try:
            return list(await asyncio.gather(*(hand.look() for hand in hands)))
        finally:
            await asyncio.gather(*(hand.close() for hand in hands))

    async def end(
        self, *, flatten: bool, seconds: float, told: Callable[[Outcome], None] | None = None
    ) -> Outcome:
        """Rounds until the venues say that nothing is left, for so long at most; one at least."""
        outcome, began, pause = Outcome(), time.monotonic(), 0.5
        purse = self._purse(outcome) if flatten else None
        hands = self._hands()
        try:
            while True:
                acts = (hand.act(flatten=flatten, purse=purse) for hand in hands)
                outcome.venues = list(await asyncio.gather(*acts))
                outcome.rounds += 1
                outcome.cancelled = [order for hand in hands for order in hand.cancelled]
                outcome.closed = [held for hand in hands for held in hand.closed]
                outcome.clean = is_clean(outcome.venues, flatten=flatten)
                if told is not None:
                    told(outcome)
                late = time.monotonic() - began + pause > seconds
                if outcome.clean or late or self._off():
                    return outcome
                await asyncio.sleep(pause)
                pause = min(2 * pause, 8.0)
        finally:
            await asyncio.gather(*(hand.close() for hand in hands))

    def _hands(self) -> list[Hand]:
        config = self._config
        return [
            Hand(venue, self._keys[venue.name], config.engine, self._off)
            for venue in config.venues
        ]

    def _purse(self, outcome: Outcome) -> SpotPurse | None:
        try:
            return SpotPurse(self._directory, self._config)
        except NotReadable as error:
            outcome.notes.append(f"{error}: spot legs are left as they are")
            return None


def keys_of(config: RunConfig, role: secrets.Role) -> dict[str, Credentials]:
    """Of every venue. ConfigError where one has none, or is a twin that ended with its run."""
    found: dict[str, Credentials] = {}
    for venue in config.venues:
        if venue.needs_twin:
            raise ConfigError(
                f"venue {venue.name}: its twin lives and ends with the run that started it; "
                "expected endpoints, or another environment"
            )
        keys = secrets.credentials(venue.name, role, file=config.secrets_file)
        if keys is None:
            prefix = secrets.prefix_of(venue.name, role)
            raise ConfigError(
                f"venue {venue.name}: no keys for a {role}; expected {prefix}KEY and "
                f"{prefix}SECRET in the environment or a secrets file"
            )
        found[venue.name] = keys
    return found
