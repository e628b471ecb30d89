"""Wallets, ledgers, transfers, fee rates and the key itself, of both products."""

import msgspec

from oneprice.model.units import HOUR, ZERO, Asset
from oneprice.twin.contract import AccountSpec, Balance, LogRow, Refusal
from oneprice.twin.dialects.kucoin import names, wishes
from oneprice.twin.dialects.kucoin.envelope import (
    NOT_UNIFIED,
    Failure,
    Row,
    amount,
    millis,
    number,
    parameter,
)
from oneprice.twin.dialects.kucoin.facts import (
    FUTURES,
    SPOT,
    Call,
    Facts,
    futures_coin,
    spot_coin,
)
from oneprice.twin.dialects.kucoin.limits import PoolName
from oneprice.twin.dialects.kucoin.paging import before, offsets, pages
from oneprice.twin.dialects.kucoin.refusals import failure
from oneprice.twin.dialects.kucoin.routes import Route

SYMBOLS_MOST = 10  # of one fee request
PERMISSIONS = "General,Futures,Spot,InnerTransfer"
BUSINESS = {  # kinds of log rows in the words of the spot ledger
    "trade": "TRADE_EXCHANGE",
    "deposit": "DEPOSIT",
    "withdrawal": "WITHDRAWAL",
    "transfer_in": "TRANSFER",
    "transfer_out": "TRANSFER",
    "rebate": "RETURNED_FEES",
    "bonus": "OTHER",
    "interest": "OTHER",
    "correction": "OTHER",
}
ENTRIES = {  # the same in those of the futures ledger; everything else is profit and loss
    "deposit": "Deposit",
    "withdrawal": "Withdrawal",
    "transfer_in": "TransferIn",
    "transfer_out": "TransferOut",
}
GIFTS = ("rebate", "bonus", "interest", "correction")  # its words know transfers only
LEDGER_REACH_NS = 72 * HOUR  # of the spot ledger: what is older is left out without a word
# TRADE and TRADE_HF are the same wallet now; MAIN is always empty here.
WALLETS = {"TRADE": SPOT, "TRADE_HF": SPOT, "CONTRACT": FUTURES}


class AccountRest:
    """Section 10."""

    def __init__(self, facts: Facts) -> None:
        self._facts = facts
        self._exchange = facts.exchange

    def spot_routes(self) -> list[Route]:
        """Of the spot host. `opened`: the trade account is a high-frequency one (HF paths)."""
        management = PoolName.MANAGEMENT
        return [
            Route("GET", "/api/v1/accounts", self.accounts, management, 5),
            Route("GET", "/api/v1/hf/accounts/ledgers", self.spot_ledger, PoolName.SPOT, 2),
            Route("GET", "/api/v1/accounts/ledgers", self.old_ledger, management, 2),
            Route("GET", "/api/v1/accounts/{accountId}", self.account, management, 5),
            Route("GET", "/api/v1/hf/accounts/opened", lambda call: True, management, 2),
            Route("GET", "/api/v1/user/api-key", self.key_info, management, 20),
            Route("GET", "/api/v2/user-info", self.user_info, management, 20),
            Route("GET", "/api/v1/base-fee", self.base_fee, PoolName.SPOT, 3),
            Route("GET", "/api/v1/trade-fees", self.fees, PoolName.SPOT, 3),
            Route("GET", "/api/v1/accounts/transferable", self.transferable, management, 20),
            Route("POST", "/api/v3/accounts/universal-transfer", self.transfer, management, 4),
            Route("POST", "/api/v2/accounts/inner-transfer", self.inner_transfer, management, 10),
            Route("GET", "/api/ua/v1/account/mode", self.mode, management, 1),
            Route("GET", "/api/ua/v2/account/mode", self.mode, management, 1),
        ]

    def futures_routes(self) -> list[Route]:
        pool = PoolName.FUTURES
        return [
            Route("GET", "/api/v1/account-overview", self.overview, pool, 5),
            Route("GET", "/api/v1/transaction-history", self.futures_ledger, pool, 2),
            Route("GET", "/api/v1/trade-fees", self.futures_fee, pool, 3),
            Route("POST", "/api/v3/transfer-out", self.transfer_out, PoolName.MANAGEMENT, 20),
            Route("POST", "/api/v1/transfer-in", self.transfer_in, PoolName.MANAGEMENT, 20),
        ]

    # Spot wallet -----------------------------------------------------------------------------

    def accounts(self, call: Call) -> list[Row]:
        """`trade_hf` is the old name of the trade account, and answered under it."""
        kind = call.fields.text("type", "trade")
        if kind not in ("trade", "trade_hf"):
            return []  # main, margin: nothing is ever there
        rows = [
            self._account(call.owner, one) | {"type": kind}
            for one in self._balances(call.key, SPOT)
        ]
        wanted = call.fields.text("currency")
        return [row for row in rows if not wanted or row["currency"] == wanted]

    def account(self, call: Call) -> Row:
        wanted = call.fields.need("accountId")
        for balance in self._balances(call.key, SPOT):
            row = self._account(call.owner, balance)
            if row["id"] == wanted:
                return {name: row[name] for name in ("currency", "balance", "available", "holds")}
        raise parameter("account not exist")

    def transferable(self, call: Call) -> Row:
        wallet = self._wallet(call.fields.need("type"))
        currency = call.fields.need("currency")
        balance = self._exchange.balance(call.key, self._facts.wallet(wallet), currency)
        return {
            "currency": currency,
            "balance": amount(balance.total),
            "available": amount(balance.available),
            "holds": amount(balance.total - balance.available),
            "transferable": amount(balance.available),
        }

    def _account(self, owner: AccountSpec, balance: Balance) -> Row:
        return {
            "id": names.wallet_account(owner.uid, balance.asset),
            "currency": balance.asset,
            "type": "trade",
            "balance": amount(balance.total, 14),
            "available": amount(balance.free, 14),
            "holds": amount(balance.locked, 14),
        }

    def spot_ledger(self, call: Call) -> list[Row]:
        """Newest first; amounts without sign, `direction` tells in or out. Of three days."""
        found = [
            (row.id, row)
            for row in self._spot_log(call)
            if row.at >= call.at - LEDGER_REACH_NS
        ]
        return before(found, call.fields, self._spot_entry, 100)[1]

    def old_ledger(self, call: Call) -> Row:
        """The same in classic pages."""
        return pages(self._spot_log(call), call.fields, self._spot_entry)

    def _spot_log(self, call: Call) -> list[LogRow]:
        wanted = [one for one in call.fields.text("currency").split(",") if one]
        start, end = call.fields.span()
        return [
            row
            for row in reversed(self._exchange.log(call.key, self._facts.wallet(SPOT)))
            if (not wanted or row.asset in wanted)
            and start <= millis(row.at) <= end
            and call.fields.text("direction", _direction(row)) == _direction(row)
            and call.fields.text("bizType", _business(row)) == _business(row)
        ]

    def _spot_entry(self, row: LogRow) -> Row:
        context = {}
        if row.instrument:
            context = {
                "symbol": self._facts.by_id[row.instrument].symbol,
                "orderId": names.spot_order(row.order_id),
                "tradeId": str(row.fill_id),
            }
        return {
            "id": str(row.id),
            "currency": row.asset,
            "amount": amount(abs(row.change), 14),
            "fee": amount(row.fee, 14),
            "tax": "0",
            "balance": amount(row.balance, 14),
            "accountType": "TRADE_HF",
            "bizType": _business(row),
            "direction": _direction(row),
            "createdAt": str(millis(row.at)),
            "context": msgspec.json.encode(context).decode(),
        }

    # Futures wallet --------------------------------------------------------------------------

    def overview(self, call: Call) -> Row:
        """Numbers; equity includes unrealised profit."""
        currency = call.fields.text("currency", futures_coin("BTC"))
        wallet = self._facts.wallet(FUTURES)
        balance = self._exchange.balance(call.key, wallet, currency)
        used = balance.maintenance_margin
        return {
            "accountEquity": number(balance.equity),
            "unrealisedPNL": number(balance.unrealised),
            "marginBalance": number(balance.total),
            "positionMargin": number(balance.position_margin),
            "orderMargin": number(balance.order_margin),
            "frozenFunds": number(balance.locked),
            "availableBalance": number(balance.available),
            "currency": currency,
            "riskRatio": number(used / balance.equity if balance.equity > 0 else ZERO),
            "maxWithdrawAmount": number(balance.available),
            "availableMargin": number(balance.available),
        }

    def futures_ledger(self, call: Call) -> Row:
        """Newest first; `accountEquity` is the wallet balance after the entry.

        Each movement is an entry that is Completed at once: the venue gathers profit, fees and
        funding of a contract in one that it completes every eight hours.
        """
        start, end = call.fields.span()
        log = self._exchange.log(call.key, self._facts.wallet(FUTURES))
        found = [
            (row.id, row)
            for row in reversed(log)
            if call.fields.text("currency", row.asset) == row.asset
            and start <= millis(row.at) <= end
            and call.fields.text("type", _entry(row)).lower() == _entry(row).lower()
        ]
        return offsets(found, call.fields, self._futures_entry)

    def _futures_entry(self, row: LogRow) -> Row:
        remark = self._facts.by_id[row.instrument].symbol if row.instrument else ""
        return {
            "time": millis(row.at),
            "type": _entry(row),
            "amount": number(row.change, 14),
            "fee": number(row.fee, 14),
            "accountEquity": number(row.balance, 14),
            "status": "Completed",
            "remark": remark,
            "offset": row.id,
            "currency": row.asset,
        }

    # Transfers -------------------------------------------------------------------------------

    def transfer(self, call: Call) -> Row:
        fields = call.fields
        if fields.need("type") != "INTERNAL":
            raise parameter("type: only INTERNAL is offered here")
        route = (fields.need("fromAccountType"), fields.need("toAccountType"))
        number = self._move(call, fields.need("currency"), route)
        return {"orderId": names.spot_order(number)}

    def inner_transfer(self, call: Call) -> Row:
        fields = call.fields
        route = (fields.need("from").upper(), fields.need("to").upper())
        number = self._move(call, fields.need("currency"), route)
        return {"orderId": names.spot_order(number)}

    def transfer_out(self, call: Call) -> Row:
        """From the futures wallet."""
        currency, target = call.fields.need("currency"), call.fields.need("recAccountType")
        number = self._move(call, currency, ("CONTRACT", target.upper()))
        return {
            "applyId": names.spot_order(number),
            "bizNo": names.spot_order(number + 1),
            "payAccountType": "CONTRACT",
            "payTag": "DEFAULT",
            "remark": "",
            "recAccountType": target,
            "recTag": "DEFAULT",
            "recRemark": "",
            "recSystem": "KUCOIN",
            "status": "PROCESSING",
            "currency": currency,
            "amount": call.fields.text("amount"),
            "fee": "0",
            "sn": number,
            "reason": "",
            "createdAt": millis(call.at),
            "updatedAt": millis(call.at),
        }

    def transfer_in(self, call: Call) -> Row:
        """To the futures wallet."""
        source = call.fields.need("payAccountType").upper()
        number = self._move(call, call.fields.need("currency"), (source, "CONTRACT"))
        return {"applyId": names.spot_order(number)}

    def _move(self, call: Call, currency: Asset, route: tuple[str, str]) -> int:
        """One transfer; where a coin has two names, it leaves as one and arrives as the other."""
        size = wishes.positive("amount", call.fields)
        source, target = (self._wallet(name) for name in route)
        if source == target:
            raise parameter("fromAccountType and toAccountType must differ")
        coins = {SPOT: spot_coin(currency), FUTURES: futures_coin(currency)}
        pair = (self._facts.wallet(source), self._facts.wallet(target))
        key, at = call.key, call.at
        try:
            if coins[source] == coins[target]:
                return self._exchange.transfer(key, coins[source], size, pair, at)
            self._exchange.transfer(key, coins[source], size, (pair[0], ""), at)
            return self._exchange.transfer(key, coins[target], size, ("", pair[1]), at)
        except Refusal as refusal:
            if refusal.word == "insufficient_funds":
                raise Failure("230003", "Balance insufficient!") from None
            raise failure(refusal, True) from None

    def _wallet(self, name: str) -> str:
        wallet = WALLETS.get(name.upper())
        if wallet is None:
            raise parameter(f"account type {name[:20]!r} is not offered here: TRADE, CONTRACT")
        return wallet

    # Rates and the key -----------------------------------------------------------------------

    def fees(self, call: Call) -> list[Row] | Row:
        """`symbols` (spot) or, as on the futures host, `symbol`."""
        if "symbols" not in call.fields:
            return self.futures_fee(call)
        symbols = call.fields.need("symbols").split(",")
        if len(symbols) > SYMBOLS_MOST:
            raise parameter(f"symbols: at most {SYMBOLS_MOST}")
        return [self._fee(call, True, symbol) for symbol in symbols]

    def futures_fee(self, call: Call) -> Row:
        return self._fee(call, False, call.fields.need("symbol"))

    def base_fee(self, call: Call) -> Row:
        sheet = self._facts.of(SPOT)[0]
        maker, taker = self._exchange.fees(call.key, sheet.id)
        return {"takerFeeRate": amount(taker), "makerFeeRate": amount(maker)}

    def _fee(self, call: Call, spot: bool, symbol: str) -> Row:
        maker, taker = self._exchange.fees(call.key, self._facts.sheet(spot, symbol).id)
        return {
            "symbol": symbol,
            "takerFeeRate": amount(taker),
            "makerFeeRate": amount(maker),
        }

    def key_info(self, call: Call) -> Row:
        owner = call.owner
        return {
            "remark": "twin",
            "apiKey": owner.key,
            "apiVersion": 3,
            "permission": "General" if owner.read_only else PERMISSIONS,
            "ipWhitelist": ",".join(owner.addresses),
            "createdAt": self._facts.all[0].extras.listed_ms,
            "uid": owner.uid,
            "isMaster": True,
        }

    def user_info(self, call: Call) -> Row:
        counts = ("subQuantity", "spotSubQuantity", "marginSubQuantity", "futuresSubQuantity",
                  "optionSubQuantity", "maxSubQuantity", "maxDefaultSubQuantity",
                  "maxSpotSubQuantity", "maxMarginSubQuantity", "maxFuturesSubQuantity",
                  "maxOptionSubQuantity")  # fmt: skip
        return {"level": 0} | dict.fromkeys(counts, 0)

    def mode(self, call: Call) -> Row:
        return {"selfAccountMode": "CLASSIC"}

    def _balances(self, key: str, market: str) -> list[Balance]:
        return self._exchange.balances(key, self._facts.wallet(market))


def not_unified(call: Call) -> object:
    """Every other unified path: this account is a classic one."""
    raise Failure(NOT_UNIFIED, "Invalid Unified Account user.")


def _direction(row: LogRow) -> str:
    return "in" if row.change >= 0 else "out"


def _business(row: LogRow) -> str:
    return BUSINESS.get(row.kind, "TRADE_EXCHANGE")


def _entry(row: LogRow) -> str:
    if row.kind in GIFTS:
        return "TransferIn" if row.change > 0 else "TransferOut"
    return ENTRIES.get(row.kind, "RealisedPNL")
