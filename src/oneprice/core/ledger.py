"""The ledger: double entry, exact, every posting set sums to zero in every asset.

Real accounts say where something is: `("venue", venue, wallet)` and `("position", instrument)`.
Their mirror says why: `("cause", cause, group)` and `("opening",)`. Since every posting has both
sides, profit by cause adds up to the change in equity without a rest, whatever the prices are.

Contracts are an asset of their own, `lots:<instrument>`: buying some of them is an exchange of
settle asset against contracts inside the position account; what a reduction realised moves from
there to the wallet, by average cost as venues do it (Bybit "closed P&L", Binance "realized PNL").
"""

from collections.abc import Callable, Mapping, Sequence
from decimal import ROUND_HALF_EVEN, Context, Decimal, InvalidOperation

import msgspec

from oneprice.core.days import WIDE, Days
from oneprice.model.instrument import Instrument, Payoff
from oneprice.model.units import EXACT, ROUNDED, ZERO, Asset, InstrumentId, Money, Side

Account = tuple[str, ...]
Rates = Callable[[Asset], Decimal | None]

BASIS, FUNDING, FEES, SLIPPAGE = "basis", "funding", "fees", "slippage"
LEGGING, BORROW, CURRENCY = "legging", "borrow", "currency"
CORRECTION = "correction"  # what a venue booked otherwise than we reckoned: its roundings, gifts
# Currency is a revaluation, and no postings stand behind it.
CAUSES = (BASIS, FUNDING, FEES, SLIPPAGE, LEGGING, BORROW, CORRECTION)
OPENING: Account = ("opening",)
STRAY = "stray"  # the group of what no group of ours explains

LOTS = "lots:"
QUANTUM = Decimal("1E-16")  # quotients are rounded once, to this
DECIMALS_MAX = 18  # of an amount that can be booked; a coin is divided into no more
WHOLE_DIGITS_MAX = 15  # before its decimal point
_LOOSE = Context(prec=100, traps=[InvalidOperation])


class Posting(msgspec.Struct, frozen=True):
    """One line of a posting set."""

    account: Account
    asset: Asset
    amount: Decimal


class CannotBook(ValueError):
    """An amount that no ledger can keep exactly: not a number, absurdly large, too fine."""


class Unbalanced(CannotBook):
    """A posting set that does not sum to zero: a wrong of ours, and booked by nobody."""


class FillFacts(msgspec.Struct, frozen=True, kw_only=True):
    """What the ledger must know about one execution."""

    instrument: Instrument
    wallet: str
    group: str
    side: Side
    ticks: int
    lots: int
    decided: int  # ticks it was decided on
    fee: Money
    fee_asset: Asset
    repair: bool = False


class Ledger:
    """Balances by account and asset. `post` is the only way in."""

    def __init__(self) -> None:
        self._balances: dict[Account, dict[Asset, Decimal]] = {}
        # The accounts that are somewhere; few, while there are causes for every group.
        self._real: dict[Account, dict[Asset, Decimal]] = {}
        self._causes: dict[str, dict[Asset, Decimal]] = {cause: {} for cause in CAUSES}
        self._opening_value = ZERO
        self._unvalued: dict[Asset, Decimal] = {}
        self._transferred: dict[tuple[Account, Asset], Decimal] = {}
        self._days = Days()
        self.postings = 0

    # Reading -----------------------------------------------------------------------------

    def balance(self, account: Account, asset: Asset) -> Decimal:
        return self._balances.get(account, {}).get(asset, ZERO)

    def wallet(self, venue: str, wallet: str, asset: Asset) -> Decimal:
        return self.balance(("venue", venue, wallet), asset)

    def wallets(self) -> Mapping[tuple[str, str, Asset], Decimal]:
        """Every wallet balance that the ledger holds."""
        return {
            (account[1], account[2], asset): amount
            for account, assets in self._real.items()
            if account[0] == "venue"
            for asset, amount in assets.items()
        }

    def in_wallets(self, asset: Asset) -> Decimal:
        """What all wallets hold of an asset."""
        total = ZERO
        for account, assets in self._real.items():
            if account[0] == "venue" and asset in assets:
                total = EXACT.add(total, assets[asset])
        return total

    def lots(self, instrument: InstrumentId) -> int:
        return int(self.balance(("position", instrument), LOTS + instrument))

    def positions(self) -> Mapping[InstrumentId, int]:
        found: dict[InstrumentId, int] = {}
        for account in self._real:
            if account[0] == "position" and (lots := self.lots(account[1])):
                found[account[1]] = lots
        return found

    def total(self, asset: Asset) -> Decimal:
        """Sum over all accounts; zero, always."""
        total = ZERO
        for assets in self._balances.values():
            total = EXACT.add(total, assets.get(asset, ZERO))
        return total

    def assets(self) -> Sequence[Asset]:
        return list(dict.fromkeys(a for assets in self._balances.values() for a in assets))

    # Posting -----------------------------------------------------------------------------

    def post(self, postings: Sequence[Posting]) -> None:
        """Book one set; it must sum to zero in every asset, and is booked whole or not at all.

        Raises Unbalanced where it does not, CannotBook where a balance could not be kept to its
        last digit.
        """
        sums: dict[Asset, Decimal] = {}
        balances: dict[tuple[Account, Asset], Decimal] = {}
        causes: dict[tuple[str, Asset], Decimal] = {}
        try:
            for account, asset, amount in ((p.account, p.asset, p.amount) for p in postings):
                if not amount:
                    continue
                sums[asset] = EXACT.add(sums.get(asset, ZERO), amount)
                kept = balances.get((account, asset), self.balance(account, asset))
                balances[account, asset] = EXACT.add(kept, amount)
                if account[0] == "cause":
                    cause = account[1]
                    kept = causes.get((cause, asset), self._causes[cause].get(asset, ZERO))
                    causes[cause, asset] = EXACT.add(kept, amount)
        except ArithmeticError:
            raise CannotBook(f"{asset} {amount}: more digits than a balance can keep") from None
        if rest := [f"{asset} {amount}" for asset, amount in sums.items() if amount]:
            raise Unbalanced(f"a posting set must sum to zero: {', '.join(rest)}")
        for (account, asset), balance in balances.items():
            assets = self._balances.setdefault(account, {})
            assets[asset] = balance
            if account[0] in ("venue", "position"):
                self._real[account] = assets
        for (cause, asset), balance in causes.items():
            self._causes[cause][asset] = balance
        self.postings += 1

    def open(self, account: Account, asset: Asset, amount: Decimal) -> None:
        """Something that is there without any doing of ours."""
        self.post(
            [Posting(account, asset, amount), Posting(OPENING, asset, amount.copy_negate())],
        )
        if amount:
            self._unvalued[asset] = EXACT.add(self._unvalued.get(asset, ZERO), amount)

    def transfer(self, account: Account, asset: Asset, amount: Decimal) -> None:
        """Deposit, withdrawal, or one side of a move between wallets: equity, never profit."""
        self.open(account, asset, amount)
        key = (account, asset)
        self._transferred[key] = EXACT.add(self._transferred.get(key, ZERO), amount)

    def transferred(self) -> Mapping[tuple[Account, Asset], Decimal]:
        """What came in (above zero) and went out of each account since it was opened."""
        return dict(self._transferred)

    def recount(self, asset: Asset, times: int) -> None:
        """One of an asset is so many from now on, each worth as much less: sums stay zero, and
        no equity and no profit changes."""
        kept = [*self._balances.values(), *self._causes.values(), self._unvalued]
        for assets in kept:
            if asset in assets:
                assets[asset] = EXACT.multiply(assets[asset], times)
        for key in self._transferred:
            if key[1] == asset:
                self._transferred[key] = EXACT.multiply(self._transferred[key], times)

    def value_openings(self, rates: Rates) -> None:
        """Value what was opened, at the first rate known after it."""
        for asset in list(self._unvalued):
            rate = rates(asset)
            if rate is not None:
                value = WIDE.multiply(self._unvalued.pop(asset), rate)
                self._opening_value = WIDE.add(self._opening_value, value)

    @property
    def unvalued(self) -> Sequence[Asset]:
        """Assets opened for which no rate has been known yet; equity leaves them out."""
        return list(self._unvalued)

    def fill(self, facts: FillFacts) -> Sequence[Posting]:
        """One execution: an exchange, its difference to the decision, its fee, its profit.

        What was booked; raises CannotBook, and books nothing, where an amount is too fine.
        """
        try:
            postings = self._fill(facts)
        except ArithmeticError:
            size = f"{facts.lots} lots at {facts.ticks} ticks"
            raise CannotBook(f"{facts.instrument.id} {size}: too many digits") from None
        self.post(postings)
        return postings

    def _fill(self, facts: FillFacts) -> list[Posting]:
        real, flows = _exchange(facts)
        why = ("cause", LEGGING if facts.repair else SLIPPAGE, facts.group)
        basis = ("cause", BASIS, facts.group)
        postings: list[Posting] = []
        for asset, amount, decided in flows:
            postings.append(Posting(real, asset, amount))
            postings.append(Posting(basis, asset, decided.copy_negate()))
            postings.append(Posting(why, asset, EXACT.subtract(decided, amount)))
        wallet = ("venue", facts.instrument.venue, facts.wallet)
        postings.append(Posting(wallet, facts.fee_asset, facts.fee.copy_negate()))
        postings.append(Posting(("cause", FEES, facts.group), facts.fee_asset, facts.fee))
        if facts.instrument.is_derivative:
            settle = facts.instrument.settle
            realised = self._realised(facts, flows)
            postings.append(Posting(real, settle, realised.copy_negate()))
            postings.append(Posting(wallet, settle, realised))
        return postings

    def _realised(
        self, facts: FillFacts, flows: Sequence[tuple[Asset, Decimal, Decimal]]
    ) -> Decimal:
        account = ("position", facts.instrument.id)
        held = self.lots(facts.instrument.id)
        change = int(facts.side) * facts.lots
        if held * change >= 0:
            return ZERO
        closed = min(abs(held), facts.lots)
        cash = self.balance(account, facts.instrument.settle)
        flow = flows[1][1]
        # What stays behind is the cost of what stays open, and the flow of what was opened anew.
        kept = _share(cash, abs(held) - closed, abs(held))
        opened = _share(flow, facts.lots - closed, facts.lots)
        return EXACT.subtract(EXACT.add(cash, flow), EXACT.add(kept, opened))

    def gain(
        self, cause: str, wallet: Account, asset: Asset, shares: Sequence[tuple[str, Money]]
    ) -> None:
        """What a venue's record gave to (below zero: took from) a wallet, shared among groups."""
        postings: list[Posting] = []
        for group, amount in shares:
            postings.append(Posting(wallet, asset, amount))
            postings.append(Posting(("cause", cause, group), asset, amount.copy_negate()))
        self.post(postings)

    def move_to_legging(self, group: str) -> None:
        """A group that ended flat had no basis: what it cost is the price of a missed leg."""
        target = ("cause", LEGGING, group)
        postings: list[Posting] = []
        for cause in (BASIS, SLIPPAGE):
            source = ("cause", cause, group)
            for asset, amount in self._balances.get(source, {}).items():
                postings.append(Posting(source, asset, amount.copy_negate()))
                postings.append(Posting(target, asset, amount))
        self.post(postings)

    # Explaining --------------------------------------------------------------------------

    def equity(self, rates: Rates) -> Money:
        """Everything that is somewhere, at the given rates."""
        total = ZERO
        for assets in self._real.values():
            total = WIDE.add(total, _value(assets, rates, self._unvalued))
        return total

    def equity_change(self, rates: Rates) -> Money:
        return WIDE.subtract(self.equity(rates), self._opening_value)

    def profit(self, rates: Rates, group: str | None = None) -> dict[str, Money]:
        """Profit by cause, of one group or in total; currency revaluation in the total only."""
        found: dict[str, Money] = {}
        for cause in CAUSES:
            assets = (
                self._causes[cause]
                if group is None
                else self._balances.get(("cause", cause, group), {})
            )
            found[cause] = WIDE.minus(_value(assets, rates, self._unvalued))
        if group is None:
            openings = _value(self._balances.get(OPENING, {}), rates, self._unvalued)
            found[CURRENCY] = WIDE.subtract(WIDE.minus(openings), self._opening_value)
        return found

    def residual(self, rates: Rates) -> Money:
        """What the causes do not explain of the change in equity; zero, always."""
        rest = self.equity_change(rates)
        for amount in self.profit(rates).values():
            rest = WIDE.subtract(rest, amount)
        return rest

    # Days --------------------------------------------------------------------------------

    def turn_day(self, day: int, rates: Rates) -> dict[Asset, Decimal]:
        """From now on it is this day (since 1970, UTC); to be told before its first posting.

        The rates at which the old day was closed: the same rates close it the same way again.
        """
        if day <= self._days.today:
            return {}
        valued = [*self._causes.values(), self._balances.get(OPENING, {})]
        assets = dict.fromkeys(asset for there in valued for asset in there)
        taken = {asset: rate for asset in assets if (rate := rates(asset)) is not None}
        self._days.turn(day, self.profit(taken.get))
        return taken

    def profit_of_day(self, day: int, rates: Rates) -> dict[str, Money]:
        """Profit by cause of one day (since 1970, UTC); today's at the given rates."""
        return self._days.profit(day, self.profit(rates))

    def profit_by_day(self, rates: Rates) -> dict[int, dict[str, Money]]:
        """Of every day on which there was a look; they add up to `profit`, cause by cause."""
        return self._days.all(self.profit(rates))

    def today(self, day: int, rates: Rates) -> Money:
        """Profit since this day began, without currency revaluation."""
        self.turn_day(day, rates)
        total = ZERO
        for cause, assets in self._causes.items():
            total = WIDE.subtract(total, self._days.begun.get(cause, ZERO))
            if assets:
                total = WIDE.subtract(total, _value(assets, rates, self._unvalued))
        return total

    def forget(self, group: str) -> None:
        """Fold a finished group into the totals, where its causes are counted already."""
        for cause in CAUSES:
            source: Account = ("cause", cause, group)
            lines = self._balances.pop(source, {})
            kept = self._balances.setdefault(("cause", cause, ""), {})
            for asset, amount in lines.items():
                kept[asset] = EXACT.add(kept.get(asset, ZERO), amount)


def check_bookable(amount: Decimal, what: str, decimals: int = DECIMALS_MAX) -> None:
    """Raises CannotBook for what a venue says that is no amount of any coin."""
    if amount.is_finite():
        _, digits, exponent = amount.as_tuple()
        assert isinstance(exponent, int)
        zeros = len(digits) - len("".join(map(str, digits)).rstrip("0"))  # refine nothing
        fits = exponent + zeros >= -decimals and amount.adjusted() < WHOLE_DIGITS_MAX
        if fits or not amount:
            return
    raise CannotBook(f"{what} {str(amount)[:40]}")


def kept(amount: Decimal) -> Decimal:
    """The nearest amount that can be booked: no coin is divided further."""
    exponent = amount.as_tuple().exponent
    if isinstance(exponent, int) and exponent >= -DECIMALS_MAX:
        return amount
    return _LOOSE.quantize(amount, Decimal((0, (1,), -DECIMALS_MAX)))


def lots_value(instrument: Instrument, mark: Decimal) -> Decimal:
    """Worth of one lot in the settle asset, against the cash side of the position account."""
    size = instrument.lot * instrument.contract_value
    if instrument.payoff is Payoff.INVERSE:
        return _quotient(size, mark).copy_negate()
    return EXACT.multiply(size, mark)


def _exchange(facts: FillFacts) -> tuple[Account, list[tuple[Asset, Decimal, Decimal]]]:
    """The real account of an exchange and its flows: asset, as filled, as decided."""
    it = facts.instrument
    sign = int(facts.side)
    size = EXACT.multiply(it.lot * it.contract_value, Decimal(sign * facts.lots))
    price, decided = it.price(facts.ticks), it.price(facts.decided)
    match it.payoff:
        case Payoff.SPOT:
            account: Account = ("venue", it.venue, facts.wallet)
            return account, [
                (it.base, size, size),
                (it.quote, _cost(size, price), _cost(size, decided)),
            ]
        case Payoff.INVERSE:
            cash, cash_decided = _quotient(size, price), _quotient(size, decided)
        case Payoff.LINEAR | Payoff.QUANTO:
            cash, cash_decided = _cost(size, price), _cost(size, decided)
    lots = Decimal(sign * facts.lots)
    return ("position", it.id), [(LOTS + it.id, lots, lots), (it.settle, cash, cash_decided)]


def _cost(size: Decimal, price: Decimal) -> Decimal:
    # copy_negate: the minus operator would round to the ambient context.
    return EXACT.multiply(size, price).copy_negate()


def _quotient(size: Decimal, price: Decimal) -> Decimal:
    return ROUNDED.divide(size, price).quantize(QUANTUM, ROUND_HALF_EVEN)


def _share(amount: Decimal, part: int, whole: int) -> Decimal:
    if part == 0:
        return ZERO
    if part == whole:
        return amount
    return ROUNDED.divide(ROUNDED.multiply(amount, part), whole).quantize(QUANTUM, ROUND_HALF_EVEN)


def _value(
    assets: Mapping[Asset, Decimal], rates: Rates, unvalued: Mapping[Asset, Decimal]
) -> Money:
    total = ZERO
    for asset, amount in assets.items():
        if not amount or asset in unvalued:
            continue
        rate = rates(asset)
        if rate is not None:
            total = WIDE.add(total, WIDE.multiply(amount, rate))
    return total
