"""Plays the conformance cards of a venue against its twin, and says how each one went."""

import asyncio
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractAsyncContextManager

import msgspec

from oneprice.app.build import spec_of
from oneprice.app.cards import account, market, orders, records
from oneprice.app.cards.bench import Bench, bench_of
from oneprice.app.cards.contract import Card, CardFailed
from oneprice.app.station import NotHeard
from oneprice.twin.stock import default_listings
from oneprice.venues.contract import FEATURES, Spec

CARDS: tuple[Card, ...] = tuple(
    sorted(
        (*market.CARDS, *orders.CARDS, *account.CARDS, *records.CARDS),
        key=lambda card: card.number,
    )
)
TIMEOUT_S = 100.0
DEAD_MAN_MS = 10_000  # the shortest that every venue with such a switch accepts
BENCHES = ("plain", "rest", "dead_man", "settling")


class Verdict(msgspec.Struct, frozen=True, kw_only=True):
    """How one card went for one venue; `detail` says what was expected and what was found."""

    venue: str
    number: int
    name: str
    feature: str
    passed: bool
    detail: str = ""


Told = Callable[[Verdict], None]


def cards_of(spec: Spec, numbers: Sequence[int] = ()) -> Iterator[Card]:
    """The cards that a venue has to pass, in order; all of them, or those named."""
    for card in CARDS:
        if numbers and card.number not in numbers:
            continue
        if not card.feature or card.feature in spec.features:
            yield card


def chosen_instruments(venue: str) -> list[str]:
    """One instrument of every kind that the twin of a venue lists, as market:symbol."""
    kinds: dict[tuple[str, str, bool], str] = {}
    for listing in default_listings(venue):
        one = listing.instrument
        kind = (one.market, one.payoff, bool(one.expiry))
        kinds.setdefault(kind, f"{one.market}:{one.symbol}")
    return list(kinds.values())


async def play(
    venue: str, numbers: Sequence[int] = (), told: Told | None = None
) -> list[Verdict]:
    """Play every card of a venue, one bench after the other; `told` hears of each at once."""
    spec = spec_of(venue)
    verdicts: list[Verdict] = []
    for kind in BENCHES:
        cards = [card for card in cards_of(spec, numbers) if card.bench == kind]
        while cards:
            done = await _on_one_bench(venue, kind, spec, cards)
            cards = cards[len(done) :]
            for verdict in done:
                verdicts.append(verdict)
                if told is not None:
                    told(verdict)
    return sorted(verdicts, key=lambda v: v.number)


async def _on_one_bench(
    venue: str, kind: str, spec: Spec, cards: Sequence[Card]
) -> list[Verdict]:
    """Verdicts up to the first card that failed, or until the venue's patience is half used up:
    the next is played on a fresh bench."""
    done: list[Verdict] = []
    try:
        async with _bench(venue, kind, spec) as bench:
            for card in cards:
                done.append(await _one(venue, card, bench))
                if not done[-1].passed or bench.is_spent:
                    break
    except (CardFailed, NotHeard) as failed:  # the bench itself did not come up
        done.append(_verdict(venue, cards[len(done)], f"not connected: {failed}"))
    return done


def _bench(venue: str, kind: str, spec: Spec) -> AbstractAsyncContextManager[Bench]:
    rest = kind == "rest" or "order_entry_socket" not in spec.features
    return bench_of(
        venue,
        chosen_instruments(venue),
        entry="rest" if rest else "ws",
        dead_man_ms=DEAD_MAN_MS if kind == "dead_man" else 0,
    )


async def _one(venue: str, card: Card, bench: Bench) -> Verdict:
    try:
        async with asyncio.timeout(TIMEOUT_S):
            await card.play(bench)
    except (CardFailed, NotHeard) as failed:
        return _verdict(venue, card, str(failed))
    except TimeoutError:
        return _verdict(venue, card, f"not done within {TIMEOUT_S:g} s; {bench.trouble()}")
    except Exception as error:
        return _verdict(venue, card, f"{type(error).__name__}: {error}")
    if bench.runtime.failure:
        return _verdict(venue, card, f"broken: {bench.runtime.failure}")
    return _verdict(venue, card)


def _verdict(venue: str, card: Card, detail: str = "") -> Verdict:
    return Verdict(
        venue=venue,
        number=card.number,
        name=card.name,
        feature=card.feature,
        passed=not detail,
        detail=detail[:500],
    )


def table(verdicts: Sequence[Verdict], specs: Sequence[Spec]) -> dict[str, dict[str, str]]:
    """Feature -> venue -> "passed", "FAILED" or "" where the venue does not declare it.

    The row "always" is what is asked of every venue. A cell is passed only by its cards.
    """
    rows: dict[str, dict[str, str]] = {}
    for feature in ("", *FEATURES):
        row: dict[str, str] = {}
        for spec in specs:
            mine = [v for v in verdicts if v.venue == spec.name and v.feature == feature]
            if feature and feature not in spec.features:
                row[spec.name] = ""
            elif mine and all(v.passed for v in mine):
                row[spec.name] = "passed"
            else:
                row[spec.name] = "FAILED" if mine else "not played"
        rows[feature or "always"] = row
    return rows
