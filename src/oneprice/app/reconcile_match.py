"""Our movements against a venue's lines, one by one, then in sums: what is left is unexplained.

A fill may be one line at the venue (profit less fee), or several (profit, commission): whole
movements are paired first, then their parts, then what a venue sums up. Pure; every line of
either side is in exactly one place of the result.
"""

from bisect import bisect_left
from collections.abc import Iterable, Mapping, Sequence
from copy import copy
from decimal import Context, Decimal, Inexact, InvalidOperation

import msgspec

from oneprice.model.units import ZERO, Asset, Money

WINDOW_MS = 600_000  # how far the times of the two sides may lie apart
NEIGHBOURS = 200  # lines near in time that are tried for a movement that was rounded
COARSEST = -6  # decimals in which a venue keeps a coin, at least
SUMS = Context(prec=120, traps=[InvalidOperation, Inexact])
LOOSE = Context(prec=120, traps=[InvalidOperation])

Purse = tuple[str, str, Asset]  # venue, wallet, asset

TRADING = ("trade", "fee", "funding")  # venues draw the line between these differently
ROUNDING = "rounding"  # ours alone: what we booked to follow the venue's roundings


class Movement(msgspec.Struct, frozen=True, kw_only=True):
    """One change of one asset of one wallet, on either side."""

    venue: str
    wallet: str
    asset: Asset
    amount: Money  # the whole change, its fee included
    kind: str  # as StatementLine.kind; or rounding, accepted
    record_id: str
    at_ms: int = 0  # the venue's clock where it told it
    fee: Money = ZERO  # the part that is a fee; above zero is a cost
    roundings: int = 1  # how many of the venue's roundings may be in it
    text: str = ""

    @property
    def purse(self) -> Purse:
        return self.venue, self.wallet, self.asset

    @property
    def family(self) -> str:
        return "trading" if self.kind in TRADING else self.kind


class Row(msgspec.Struct, frozen=True, kw_only=True):
    """One asset of one wallet. `theirs` - `ours` = `rounded` + `unexplained` + `later`."""

    venue: str
    wallet: str
    asset: Asset
    ours: Money
    theirs: Money
    matched: int  # of our movements
    in_sums: int  # of these, found only as part of a sum
    rounded: Money  # by the venue, beyond what we have followed already
    later: Money  # lines of the venue from after the last thing that we know
    unexplained: Money
    left_ours: list[Movement] = []
    left_theirs: list[Movement] = []
    opening: Money | None = None
    closing: Money | None = None  # as our ledger has it
    told: Money | None = None  # as the venue says now
    out_of_nothing: Money = ZERO  # told beyond our closing, its roundings and its later lines

    @property
    def ok(self) -> bool:
        return not (self.left_ours or self.left_theirs or self.unexplained or self.out_of_nothing)


class Reconciliation(msgspec.Struct, frozen=True, kw_only=True):
    rows: list[Row]

    @property
    def ok(self) -> bool:
        return all(row.ok for row in self.rows)


def compare(
    ours: Iterable[Movement],
    theirs: Iterable[Movement],
    until_ms: Mapping[str, int] | None = None,
) -> Reconciliation:
    """Every purse that either side knows. `until_ms` by venue: lines from after it are `later`."""
    sides: dict[Purse, tuple[list[Movement], list[Movement]]] = {}
    for number, side in enumerate((ours, theirs)):
        for movement in side:
            sides.setdefault(movement.purse, ([], []))[number].append(movement)
    ends = until_ms or {}
    return Reconciliation(
        rows=[
            _row(purse, *sides[purse], ends.get(purse[0], 0)) for purse in sorted(sides)
        ]
    )


def _row(
    purse: Purse, ours: list[Movement], theirs: list[Movement], until_ms: int
) -> Row:
    pairing = _Pairing(purse, ours, theirs)
    pairing.run()
    left_ours, left_theirs = pairing.left()
    later = [m for m in left_theirs if until_ms and m.at_ms > until_ms]
    left_theirs = [m for m in left_theirs if not (until_ms and m.at_ms > until_ms)]
    followed = total(m.amount for m in ours if m.kind == ROUNDING)
    venue, wallet, asset = purse
    return Row(
        venue=venue,
        wallet=wallet,
        asset=asset,
        ours=total(m.amount for m in ours),
        theirs=total(m.amount for m in theirs),
        matched=pairing.matched,
        in_sums=pairing.in_sums,
        rounded=SUMS.subtract(pairing.rounded, followed),
        later=total(m.amount for m in later),
        unexplained=SUMS.subtract(
            total(m.amount for m in left_theirs), total(m.amount for m in left_ours)
        ),
        left_ours=left_ours,
        left_theirs=left_theirs,
    )


class _Pairing:
    """The stages, each over what the one before has left."""

    def __init__(self, purse: Purse, ours: Sequence[Movement], theirs: Sequence[Movement]) -> None:
        self._unit = _unit(theirs)
        # Copies: pairs are told apart by identity, and one object may have come in twice.
        self._ours = sorted((copy(m) for m in ours if m.kind != ROUNDING), key=_when)
        self._theirs = sorted((copy(m) for m in theirs), key=_when)
        self.matched = self.in_sums = 0
        self.rounded = ZERO

    def run(self) -> None:
        self._by_record()
        self._exactly()
        self._nearly()
        self._in_parts()
        self._in_sums()

    def left(self) -> tuple[list[Movement], list[Movement]]:
        """What is in no pair; a movement of nothing needs none."""
        return [m for m in self._ours if m.amount], [m for m in self._theirs if m.amount]

    def _by_record(self) -> None:
        known: dict[tuple[str, str], list[Movement]] = {}
        for line in self._theirs:
            known.setdefault((line.family, line.record_id), []).append(line)
        pairs = []
        for mine in self._ours:
            there = known.get((mine.family, mine.record_id), [])
            if mine.record_id and there and self._is_rounded(mine, there[0]):
                pairs.append((mine, there.pop(0)))
        self._take(pairs)

    def _exactly(self) -> None:
        known: dict[tuple[str, Money], list[Movement]] = {}
        for line in self._theirs:
            known.setdefault((line.family, line.amount), []).append(line)
        pairs = []
        for mine in self._ours:
            there = known.get((mine.family, mine.amount), [])
            best = min(there, key=lambda line: _apart(mine, line), default=None)
            if best is not None and _apart(mine, best) <= WINDOW_MS:
                there.remove(best)
                pairs.append((mine, best))
        self._take(pairs)

    def _nearly(self) -> None:
        lines = list(self._theirs)
        times = [line.at_ms for line in lines]
        pairs = []
        for mine in self._ours:
            place = bisect_left(times, mine.at_ms)
            near = lines[max(0, place - NEIGHBOURS) : place + NEIGHBOURS]
            fits = [line for line in near if self._is_rounded(mine, line)]
            closest = min(fits, key=lambda line: _apart(mine, line), default=None)
            if closest is not None and _apart(mine, closest) <= WINDOW_MS:
                place = next(n for n, line in enumerate(lines) if line is closest)
                del lines[place], times[place]
                pairs.append((mine, closest))
        self._take(pairs)

    def _in_parts(self) -> None:
        """Profit and fee on lines of their own: all parts of a movement, or none of them."""
        pool: dict[tuple[bool, Money], list[Movement]] = {}
        for line in self._theirs:
            if line.family == "trading":
                pool.setdefault((line.kind == "fee", line.amount), []).append(line)
        whole: list[Movement] = []
        parts: list[Movement] = []
        for mine in (m for m in self._ours if m.fee):
            wanted = ((True, mine.fee.copy_negate()), (False, SUMS.add(mine.amount, mine.fee)))
            found = [
                self._part(mine, amount, pool, is_fee=is_fee)
                for is_fee, amount in wanted
                if amount
            ]
            lines = [line for line in found if line is not None]
            if len(lines) == len(found):
                for line in lines:
                    pool[line.kind == "fee", line.amount].remove(line)
                whole.append(mine)
                parts += lines
        self._take_sum(whole, parts)

    def _part(
        self,
        mine: Movement,
        amount: Money,
        pool: Mapping[tuple[bool, Money], list[Movement]],
        *,
        is_fee: bool,
    ) -> Movement | None:
        rounded = amount if is_fee else LOOSE.quantize(amount, self._unit)
        for wanted in (amount, rounded):
            there = pool.get((is_fee, wanted), [])
            best = min(there, key=lambda line: _apart(mine, line), default=None)
            if best is not None and _apart(mine, best) <= WINDOW_MS:
                return best
        return None

    def _in_sums(self) -> None:
        """What a venue tells in one line for many, or the other way round, within a family."""
        for family in dict.fromkeys(m.family for m in self._ours):
            ours = [m for m in self._ours if m.family == family and m.amount]
            theirs = [m for m in self._theirs if m.family == family and m.amount]
            if not ours or not theirs:
                continue
            rest = SUMS.subtract(
                total(m.amount for m in theirs), total(m.amount for m in ours)
            )
            if abs(rest) <= self._slack(ours):
                self.in_sums += len(ours)
                self._take_sum(ours, theirs)

    # Pairs ---------------------------------------------------------------------------------

    def _slack(self, ours: Sequence[Movement]) -> Decimal:
        """Half a unit for each rounding; nothing where every amount is in whole units already."""
        roundings = sum(m.roundings for m in ours if self._is_fine(m))
        return self._unit * roundings / 2

    def _is_fine(self, movement: Movement) -> bool:
        fine = LOOSE.remainder(movement.amount, self._unit)
        return bool(fine) or movement.roundings > 1

    def _is_rounded(self, mine: Movement, line: Movement) -> bool:
        if mine.family != line.family:
            return False
        return abs(SUMS.subtract(line.amount, mine.amount)) <= self._slack([mine])

    def _take(self, pairs: Sequence[tuple[Movement, Movement]]) -> None:
        for mine, line in pairs:
            self.rounded = SUMS.add(self.rounded, SUMS.subtract(line.amount, mine.amount))
        self.matched += len(pairs)
        self._ours = _without(self._ours, [mine for mine, _ in pairs])
        self._theirs = _without(self._theirs, [line for _, line in pairs])

    def _take_sum(self, ours: Sequence[Movement], theirs: Sequence[Movement]) -> None:
        rest = SUMS.subtract(total(m.amount for m in theirs), total(m.amount for m in ours))
        self.rounded = SUMS.add(self.rounded, rest)
        self.matched += len(ours)
        self._ours = _without(self._ours, ours)
        self._theirs = _without(self._theirs, theirs)


def total(amounts: Iterable[Money]) -> Money:
    """Exactly."""
    found = ZERO
    for amount in amounts:
        found = SUMS.add(found, amount)
    return found


def _unit(lines: Sequence[Movement]) -> Decimal:
    """The finest step in which a venue writes a coin."""
    finest = COARSEST
    for line in lines:
        exponent = line.amount.as_tuple().exponent
        if isinstance(exponent, int):
            finest = min(finest, exponent)
    return Decimal((0, (1,), finest))


def _when(movement: Movement) -> tuple[int, str]:
    return movement.at_ms, movement.record_id


def _apart(mine: Movement, line: Movement) -> int:
    """Milliseconds between the two; nothing where either has no time."""
    return abs(mine.at_ms - line.at_ms) if mine.at_ms and line.at_ms else 0


def _without(kept: Sequence[Movement], gone: Sequence[Movement]) -> list[Movement]:
    """By identity: two movements may be equal in every field, and are two."""
    ids = dict.fromkeys(map(id, gone))
    return [movement for movement in kept if id(movement) not in ids]
