"""What a conformance card is."""

from collections.abc import Awaitable, Callable

import msgspec

from oneprice.app.cards.bench import Bench

Play = Callable[[Bench], Awaitable[None]]


class CardFailed(Exception):
    """What a card expected and what it found."""


class Card(msgspec.Struct, frozen=True, kw_only=True):
    """One promise. Played for a venue that declares `feature`; "" is asked of every venue.

    `number` never changes its meaning. `bench` names the kind of bench it is played on.
    """

    number: int
    name: str
    play: Play
    feature: str = ""
    # plain, rest (orders by REST), dead_man, settling (its funding is still to come)
    bench: str = "plain"


def check(condition: bool, expected: str, found: object) -> None:
    """CardFailed with what was expected and what was found."""
    if not condition:
        raise CardFailed(f"expected {expected}, found {found}")


def equal(what: str, ours: object, theirs: object) -> None:
    check(ours == theirs, f"{what} {theirs}", ours)
