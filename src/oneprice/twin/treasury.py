"""Money that moves without a trade: transfers, deposits, withdrawals, interest, gifts."""

from oneprice.model.units import Asset, Money
from oneprice.twin.contract import Refusal
from oneprice.twin.hall import Hall
from oneprice.twin.vault import OUTSIDE_KINDS, Posting

_LEAVING = ("withdrawal", "transfer_out")
_SIGNED = ("interest", "correction")


class Treasury:
    """Moves coins of one customer; every movement is a row of the wallet's log."""

    def __init__(self, hall: Hall) -> None:
        self._hall = hall

    def transfer(
        self, key: str, asset: Asset, amount: Money, route: tuple[str, str], at: int
    ) -> int:
        """Between two wallets (from, to), "" is the world outside; id of the last log row.

        Refusal insufficient_funds where the source has not so much to spare, bad_request for
        an amount that is not above zero or an unknown wallet.
        """
        solvency = self._hall.solvency
        source, target = route
        if source and solvency.balance(key, source, asset).available < amount:
            raise Refusal("insufficient_funds", f"{asset} in {source}")
        if target:
            solvency.assets(key, target)  # refuses an unknown wallet
        return self._hall.vault.transfer(key, asset, amount, route, at)

    def move(
        self, purse: tuple[str, str, Asset], amount: Money, kind: str, at: int
    ) -> int:
        """One movement of a purse (account, wallet or "" for the first, coin); its log row id.

        `kind` is one of vault.OUTSIDE_KINDS. Deposits, withdrawals, transfers, rebates and
        bonuses take an amount above zero; interest and corrections are signed, above zero is
        received. A withdrawal takes no more than is available (insufficient_funds); interest
        may leave a debt.
        """
        key, wallet, asset = purse
        wallet = wallet or self._hall.setup.wallets[0].name
        balance = self._hall.solvency.balance(key, wallet, asset)  # refuses an unknown wallet
        if kind not in OUTSIDE_KINDS:
            raise Refusal("bad_request", f"{kind!r}: expected one of {', '.join(OUTSIDE_KINDS)}")
        if not amount or (amount < 0 and kind not in _SIGNED):
            raise Refusal("bad_request", f"{kind} of {amount} {asset}")
        if kind in _LEAVING:
            if balance.available < amount:
                raise Refusal("insufficient_funds", f"{asset} in {wallet}")
            amount = -amount
        posting = Posting(kind=kind, cash_flow=amount)
        return self._hall.vault.post((key, wallet, asset), posting, at).id
