"""Reconcile a session: its journal beside the venues' own statements, line by line."""

import asyncio
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

import msgspec

from oneprice.app.config import ConfigError, RunConfig
from oneprice.app.reconcile_match import (
    SUMS,
    Movement,
    Purse,
    Reconciliation,
    Row,
    compare,
    total,
)
from oneprice.app.reconcile_ours import ACCEPTED, Ours, ours
from oneprice.app.reconcile_theirs import Theirs, ask, balances_of
from oneprice.app.session import decode_entry, entries_before, load_manifest
from oneprice.core.statement import those_that_explain
from oneprice.model.units import MILLI, ZERO, Money

ALL_STARTS = 1 << 62
SLACK_MS = 2_000  # for what was told before our last journaled moment and happened after it


class Result(msgspec.Struct, frozen=True, kw_only=True):
    """What `oneprice reconcile` says; money is in units of each asset."""

    ok: bool
    rows: list[Row]
    notes: list[str]


async def reconcile(directory: Path, config: RunConfig | None) -> Result:
    """Ask the venues of a configuration, or those of the session's last start.

    Raises ConfigError for a session or configuration that cannot be used, JournalDamaged for a
    damaged journal, NoStatement where a venue does not answer.
    """
    chosen = config if config is not None else load_manifest(directory).config
    mine = journaled(directory, chosen)
    named = dict.fromkeys(venue.name for venue in chosen.venues)
    for venue in dict.fromkeys(purse[0] for purse in mine.opened):
        if venue not in named:
            raise ConfigError(
                f"session {directory}: its journal is about {venue}, which the configuration "
                "does not name: expected every venue of the session"
            )
    file = chosen.secrets_file
    told = await asyncio.gather(*(ask(v, chosen.engine, mine, file) for v in chosen.venues))
    return result(mine, dict(zip(named, told, strict=True)))


def journaled(directory: Path, config: RunConfig) -> Ours:
    """Our movements over all starts of a session."""
    load_manifest(directory)
    return ours(config.engine, _records(directory))


def _records(directory: Path) -> Iterator[Sequence[object]]:
    for number, payload in enumerate(entries_before(directory, ALL_STARTS), 1):
        try:
            yield decode_entry(payload).record
        except msgspec.MsgspecError as error:
            raise ConfigError(f"session {directory}: journal entry {number}: {error}") from None


def result(mine: Ours, told: Mapping[str, Theirs]) -> Result:
    """Both sides together; pure."""
    last = mine.ended_at // MILLI + SLACK_MS
    ends = {venue: last + theirs.ahead_ms for venue, theirs in told.items()}
    # What a person took over was explained by nobody: it is in the books, not in the lines.
    compared = [m for m in mine.movements if m.kind != ACCEPTED]
    lines = [m for theirs in told.values() for m in theirs.movements]
    balances = balances_of(list(told.values()))
    rows = _with_balances(compare(compared, lines, ends), mine, balances)
    near = _explaining(rows, [m for theirs in told.values() for m in theirs.near])
    if near:
        rows = _with_balances(compare(compared, [*lines, *near], ends), mine, balances)
    accepted: dict[Purse, Money] = {}
    for m in mine.movements:
        if m.kind == ACCEPTED:
            accepted[m.purse] = SUMS.add(accepted.get(m.purse, ZERO), m.amount)
    notes = [
        f"{venue} {wallet}: no statement; compared by fills and balances"
        for venue, theirs in told.items()
        for wallet in theirs.by_fills
    ]
    if any(accepted.values()):
        notes.append("differences that a person accepted are in our balances")
    return Result(ok=all(row.ok for row in rows), rows=rows, notes=notes)


def _explaining(rows: Sequence[Row], near: Sequence[Movement]) -> list[Movement]:
    """Of the transfers near an opening those that the balance shows: the opening has the rest."""
    beyond = {(row.venue, row.wallet, row.asset): row.out_of_nothing for row in rows}
    found: list[Movement] = []
    for purse in dict.fromkeys(m.purse for m in near):
        there = sorted((m for m in near if m.purse == purse), key=lambda m: m.at_ms)
        chosen = those_that_explain([m.amount for m in there], beyond.get(purse, ZERO), ZERO)
        found += [there[place] for place in chosen]
    return found


def _with_balances(
    found: Reconciliation, mine: Ours, balances: Mapping[Purse, Money]
) -> list[Row]:
    rows = {(row.venue, row.wallet, row.asset): row for row in found.rows}
    for purse in (*mine.closings, *balances):
        rows.setdefault(purse, _empty(purse))
    told_wallets = dict.fromkeys(purse[:2] for purse in balances)
    out: list[Row] = []
    for purse in sorted(rows):
        row = rows[purse]
        closing = mine.closings.get(purse, ZERO)
        told = balances.get(purse, ZERO if purse[:2] in told_wallets else None)
        known = total((closing, row.rounded, row.later))
        out.append(
            msgspec.structs.replace(
                row,
                opening=mine.openings.get(purse, ZERO),
                closing=closing,
                told=told,
                out_of_nothing=SUMS.subtract(told, known) if told is not None else ZERO,
            )
        )
    return out


def _empty(purse: Purse) -> Row:
    venue, wallet, asset = purse
    return Row(
        venue=venue, wallet=wallet, asset=asset, ours=ZERO, theirs=ZERO, matched=0, in_sums=0,
        rounded=ZERO, later=ZERO, unexplained=ZERO,
    )  # fmt: skip
