"""Who owns what: balances of all wallets, the other side of each movement, the transaction log.

Every movement is posted twice, to a customer and to one of the other accounts (market, fees,
funding, insurance, outside), so that each asset sums to zero over everything after every step.
"""

from decimal import Decimal

import msgspec

from oneprice.model.units import ZERO, Asset, InstrumentId, Money, Side
from oneprice.twin.contract import LogRow, Refusal, Setup

MARKET = "market"
FEES = "fees"
FUNDING = "funding"
OUTSIDE = "outside"
INSURANCE = "insurance"

_CAUSES = {
    "trade": "fill",
    "transfer_in": "transfer",
    "transfer_out": "transfer",
    "withdrawal": "transfer",
}

# Movements between a customer and the world outside: no trade stands behind them.
OUTSIDE_KINDS = (
    "deposit",
    "withdrawal",
    "transfer_in",
    "transfer_out",
    "interest",  # on a debt, or paid to the customer
    "rebate",  # of fees
    "bonus",
    "correction",
)

Purse = tuple[str, str, Asset]  # account key, wallet, asset


class Posting(msgspec.Struct, frozen=True, kw_only=True):
    """Why a balance moves and by how much; becomes one log row."""

    kind: str
    cash_flow: Money = ZERO
    funding: Money = ZERO
    fee: Money = ZERO
    instrument: InstrumentId = ""
    side: Side | None = None
    ticks: int = 0
    price: Decimal = ZERO
    lots: int = 0
    position_lots: int = 0
    rate: Decimal = ZERO
    fill_id: int = 0
    order_id: int = 0
    client_id: str = ""


class Vault:
    """Balances, held amounts and the log of all customers."""

    def __init__(self, setup: Setup, first_id: int) -> None:
        self._step = setup.money_step
        self._steps = setup.money_steps
        self._totals: dict[Purse, Money] = {}
        self._held: dict[Purse, Money] = {}
        self._realised: dict[Purse, Money] = {}
        self._moved_at: dict[Purse, int] = {}
        self._others: dict[tuple[str, Asset], Money] = {}
        self._log: dict[tuple[str, str], list[LogRow]] = {}
        self._next_id = first_id
        self.dirty: dict[Purse, str] = {}  # purse -> cause, since the last flush
        for asset, amount in setup.insurance.items():
            self._others[INSURANCE, asset] = amount
            self._others[OUTSIDE, asset] = -amount

    def rounded(self, amount: Money, asset: Asset) -> Money:
        """To the step in which the venue keeps a coin; happens once per movement."""
        return amount.quantize(self._steps.get(asset, self._step))

    def post(self, purse: Purse, posting: Posting, at: int) -> LogRow:
        """Moves money between a customer and the rest of the world."""
        account, wallet, asset = purse
        cash, funding, fee = (
            self.rounded(amount, asset)
            for amount in (posting.cash_flow, posting.funding, posting.fee)
        )
        change = cash + funding - fee
        balance = self._totals.get(purse, ZERO) + change
        self._totals[purse] = balance
        other = OUTSIDE if posting.kind in OUTSIDE_KINDS else MARKET
        for owner, amount in (
            (INSURANCE if posting.kind == "insurance" else other, -cash),
            (FUNDING, -funding),
            (FEES, fee),
        ):
            if amount:
                key = (owner, asset)
                self._others[key] = self._others.get(key, ZERO) + amount
        self._moved_at[purse] = at
        self.dirty[purse] = _CAUSES.get(posting.kind, posting.kind)
        self._next_id += 1
        row = LogRow(
            id=self._next_id,
            account=account,
            wallet=wallet,
            asset=asset,
            at=at,
            change=change,
            balance=balance,
            **{
                **msgspec.structs.asdict(posting),
                "cash_flow": cash,
                "funding": funding,
                "fee": fee,
            },
        )
        self._log.setdefault((account, wallet), []).append(row)
        return row

    def transfer(
        self, key: str, asset: Asset, amount: Money, route: tuple[str, str], at: int
    ) -> int:
        """Between wallets of one customer; an empty name is the world outside."""
        source, target = route
        if amount <= 0 or source == target:
            raise Refusal("bad_request", f"transfer of {amount} {asset} from {source} to {target}")
        arriving = "transfer_in" if source else "deposit"
        leaving = "transfer_out" if target else "withdrawal"
        row_id = 0
        if source:
            row_id = self.post(
                (key, source, asset), Posting(kind=leaving, cash_flow=-amount), at
            ).id
        if target:
            row_id = self.post(
                (key, target, asset), Posting(kind=arriving, cash_flow=amount), at
            ).id
        return row_id

    def hold(self, purse: Purse, amount: Money) -> None:
        """Locks (or with a negative amount frees) money for a resting spot order."""
        if amount:
            self._held[purse] = self._held.get(purse, ZERO) + amount
            self.dirty.setdefault(purse, "order")

    def book_result(self, purse: Purse, amount: Money) -> None:
        """Adds to the running result of derivatives of a coin."""
        self._realised[purse] = self._realised.get(purse, ZERO) + self.rounded(amount, purse[2])

    def total(self, purse: Purse) -> Money:
        return self._totals.get(purse, ZERO)

    def held(self, purse: Purse) -> Money:
        return self._held.get(purse, ZERO)

    def realised(self, purse: Purse) -> Money:
        return self._realised.get(purse, ZERO)

    def moved_at(self, purse: Purse) -> int:
        return self._moved_at.get(purse, 0)

    def assets(self, key: str, wallet: str) -> list[Asset]:
        """Coins that the wallet ever held, by name."""
        return sorted(a for k, w, a in self._totals if k == key and w == wallet)

    def log(self, key: str, wallet: str) -> list[LogRow]:
        return list(self._log.get((key, wallet), ()))

    def shift(self, giver: str, taker: str, asset: Asset, amount: Money) -> None:
        """Between two of the other accounts."""
        amount = self.rounded(amount, asset)
        for owner, change in ((giver, -amount), (taker, amount)):
            self._others[owner, asset] = self._others.get((owner, asset), ZERO) + change

    def others(self, owner: str) -> dict[Asset, Money]:
        """What one of the other accounts has, by coin."""
        return {asset: amount for (one, asset), amount in self._others.items() if one == owner}

    def sums(self) -> dict[Asset, Money]:
        """Every asset over all customers and all other accounts: zero, always."""
        found: dict[Asset, Money] = {}
        for (_, _, asset), amount in self._totals.items():
            found[asset] = found.get(asset, ZERO) + amount
        for (_, asset), amount in self._others.items():
            found[asset] = found.get(asset, ZERO) + amount
        return found
