"""Position and account calls of REST: positions, leverage, wallet, fees, log, key and account."""

from decimal import Decimal

from oneprice.model.units import ROUNDED, ZERO, Side, plain
from oneprice.twin.contract import Exchange, Refusal
from oneprice.twin.dialects.bybit.account_rows import AccountRows
from oneprice.twin.dialects.bybit.closed import ClosedProfit, ClosedProfits
from oneprice.twin.dialects.bybit.envelope import BAD_PARAMETER, Failure, Row, millis, short, stamp
from oneprice.twin.dialects.bybit.facts import Sheet, Sheets
from oneprice.twin.dialects.bybit.fields import Fields, invalid, span
from oneprice.twin.dialects.bybit.margin_rest import MarginRest
from oneprice.twin.dialects.bybit.names import Names
from oneprice.twin.dialects.bybit.order_entry import OrderEntry
from oneprice.twin.dialects.bybit.paging import page
from oneprice.twin.dialects.bybit.refusals import failure
from oneprice.twin.dialects.bybit.trade_rest import DAY_MS, WEEK_MS, Call, Handler

NOT_MODIFIED_LEVERAGE = 110043
HAS_ORDERS = 110028
EXEC_TYPE = {"liquidation": "BustTrade", "adl": "AdlTrade", "delivery": "Settle"}


class AccountRest:
    """Handlers of /v5/position, /v5/account and /v5/user."""

    def __init__(
        self,
        exchange: Exchange,
        sheets: Sheets,
        names: Names,
        rows: AccountRows,
        entry: OrderEntry,
        margin: MarginRest,
    ) -> None:
        self._exchange = exchange
        self._sheets = sheets
        self._names = names
        self._rows = rows
        self._entry = entry
        self._margin = margin
        self.closed = ClosedProfits()

    def posts(self) -> dict[str, Handler]:
        """Every POST path of this module."""
        return {
            "/v5/position/set-leverage": self.set_leverage,
            "/v5/position/switch-mode": self.switch_mode,
            "/v5/account/set-limit-px-action": self.set_limit_action,
        }

    def gets(self) -> dict[str, Handler]:
        """Every GET path of this module."""
        return {
            "/v5/position/list": self.positions,
            "/v5/position/closed-pnl": self.closed_profit,
            "/v5/account/wallet-balance": self.wallet,
            "/v5/account/fee-rate": self.fees,
            "/v5/account/info": self.info,
            "/v5/account/transaction-log": self.log,
            "/v5/account/withdrawal": self.withdrawal,
            "/v5/account/collateral-info": self.collateral,
            "/v5/account/user-setting-config": self.settings,
            "/v5/account/smp-group": lambda call: {"smpGroup": 0},
            "/v5/user/query-api": self.key_info,
            "/v5/order/spot-borrow-check": self.borrow_check,
            "/v5/asset/coin/query-info": lambda call: {"rows": []},
        }

    # Positions -------------------------------------------------------------------------------

    def positions(self, call: Call) -> Row:
        """With `symbol` also a flat one, with `settleCoin` only open ones (section 6.1)."""
        fields = call.fields
        _derivatives_only(call)
        key = call.account.key
        if "symbol" in fields:
            sheet = self._entry.sheet(call.category, fields.need("symbol"))
            indexes = (1, 2) if self._exchange.hedge_mode(key, call.category) else (0,)
            found = [self._exchange.position(key, sheet.id, index) for index in indexes]
        elif call.category == "linear" and not ("settleCoin" in fields or "baseCoin" in fields):
            raise Failure(BAD_PARAMETER, "params error: symbol or settleCoin is required")
        else:
            found = [
                one
                for one in self._exchange.positions(key, call.category)
                if one.lots and self._entry.matches(self._sheets.by_id[one.instrument], fields)
            ]
        numbered = [(len(found) - number, one) for number, one in enumerate(found)]
        shown, cursor = page(numbered, fields, 20, 200)
        return {
            "category": call.category,
            "nextPageCursor": cursor,
            "list": [self._rows.position(one) for one in shown],
        }

    def set_leverage(self, call: Call) -> Row:
        """One leverage for both sides; 110043 where it is so already (section 6.2)."""
        fields = call.fields
        _derivatives_only(call)
        sheet = self._entry.sheet(call.category, fields.need("symbol"))
        wanted = fields.decimal("buyLeverage")
        if wanted is None or wanted < 1 or wanted != fields.decimal("sellLeverage"):
            raise Failure(BAD_PARAMETER, "params error: buyLeverage and sellLeverage must agree")
        if wanted == self._exchange.leverage(call.account.key, sheet.id):
            raise Failure(NOT_MODIFIED_LEVERAGE, "Set leverage has not been modified")
        try:
            self._exchange.set_leverage(call.account.key, sheet.id, wanted, call.at)
        except Refusal as refusal:
            raise failure(refusal, call.category) from None
        return {}

    def switch_mode(self, call: Call) -> Row:
        """One-way or hedge mode; refused while positions or orders are open (section 6.3)."""
        _derivatives_only(call)
        mode = call.fields.whole("mode", -1, 0, 3)
        if mode not in (0, 3):
            raise invalid("mode", call.fields.text("mode"))
        key = call.account.key
        try:
            self._exchange.set_hedge_mode(key, call.category, mode == 3, call.at)
        except Refusal as refusal:
            held = any(one.lots for one in self._exchange.positions(key, call.category))
            if refusal.word == "mode_blocked" and not held:
                text = "You have existing orders, so position mode cannot be switched"
                raise Failure(HAS_ORDERS, text) from None
            raise failure(refusal, call.category) from None
        return {}

    def closed_profit(self, call: Call) -> Row:
        """Profit per closing order, newest first (section 6.5)."""
        fields, key = call.fields, call.account.key
        start, end = span(fields, millis(call.at), default_ms=WEEK_MS, longest_ms=WEEK_MS)
        for fill in self._exchange.fills(key):  # some may not have been published yet
            instrument = self._sheets.by_id[fill.instrument].instrument
            if instrument.is_derivative:
                index = self._exchange.order(key, fill.order_id).position_index
                self.closed.fill(fill, instrument, index)
        chosen = []
        for one in self.closed.rows(key):
            sheet = self._sheets.by_id[one.instrument]
            in_span = start <= millis(one.updated_at) <= end
            if sheet.category == call.category and in_span and self._entry.matches(sheet, fields):
                chosen.append(one)
        numbered = [(one.order_id, one) for one in chosen]
        numbered.sort(key=lambda pair: -pair[0])
        shown, cursor = page(numbered, fields, 50, 100)
        rows = [self._closed_row(call, one) for one in shown]
        return {"category": call.category, "nextPageCursor": cursor, "list": rows}

    def _closed_row(self, call: Call, one: ClosedProfit) -> Row:
        sheet = self._sheets.by_id[one.instrument]
        order = self._exchange.order(call.account.key, one.order_id)
        size = sheet.instrument.size(one.closed_lots) * sheet.instrument.contract_value
        return {
            "symbol": sheet.symbol,
            "orderId": self._names.order(sheet.category, one.order_id),
            "side": "Buy" if one.side is Side.BUY else "Sell",
            "qty": sheet.count(order.lots),
            "orderPrice": sheet.trimmed(order.ticks),
            "orderType": "Market" if order.kind == "market" else "Limit",
            "execType": EXEC_TYPE.get(order.reason, "Trade"),
            "closedSize": sheet.count(one.closed_lots),
            "cumEntryValue": short(one.entry_value),
            "avgEntryPrice": short(_average(sheet, size, one.entry_value)),
            "cumExitValue": short(one.exit_value),
            "avgExitPrice": short(_average(sheet, size, one.exit_value)),
            "closedPnl": short(one.profit),
            "openFee": short(one.open_fee),
            "closeFee": short(one.close_fee),
            "fillCount": str(one.fills),
            "leverage": plain(self._exchange.leverage(call.account.key, sheet.id)),
            "createdTime": stamp(one.created_at),
            "updatedTime": stamp(one.updated_at),
        }

    # Account ---------------------------------------------------------------------------------

    def wallet(self, call: Call) -> Row:
        if call.fields.need("accountType") != "UNIFIED":
            raise Failure(BAD_PARAMETER, "accountType only support UNIFIED.")
        coins = [one for one in call.fields.text("coin").split(",") if one]
        return {"list": [self._rows.wallet(call.account, coins or None)]}

    def fees(self, call: Call) -> Row:
        fields = call.fields
        category = fields.category()
        sheets = self._sheets.of(category)
        if "symbol" in fields:
            sheets = [self._entry.sheet(category, fields.need("symbol"))]
        rows = []
        for sheet in sheets:
            maker, taker = self._exchange.fees(call.account.key, sheet.id)
            rows.append(
                {
                    "symbol": sheet.symbol,
                    "takerFeeRate": plain(taker),
                    "makerFeeRate": plain(maker),
                }
            )
        return {"category": category, "list": rows}

    def info(self, call: Call) -> Row:
        return {
            "marginMode": self._margin.mode(call.account.key),
            "updatedTime": "1785000000000",
            "unifiedMarginStatus": 5,
            "dcpStatus": "OFF",
            "timeWindow": 0,
            "smpGroup": 0,
            "isMasterTrader": False,
            "spotHedgingStatus": "OFF",
        }

    def key_info(self, call: Call) -> Row:
        account = call.account
        return {
            "id": str(account.uid),
            "note": "twin",
            "apiKey": account.key,
            "readOnly": int(account.read_only),
            "secret": "",
            "permissions": {
                "ContractTrade": ["Order", "Position"],
                "Spot": ["SpotTrade"],
                "Wallet": ["AccountTransfer", "Withdraw"] if account.can_withdraw else [],
                "Options": [],
                "Derivatives": ["DerivativesTrade"],
            },
            "ips": list(account.addresses) or ["*"],
            "type": 1,
            "deadlineDay": -2,
            "expiredAt": "1970-01-01T00:00:00Z",
            "createdAt": "2026-10-01T00:00:00Z",
            "unified": 0,
            "uta": 1,
            "userID": account.uid,
            "inviterID": 0,
            "vipLevel": "No VIP",
            "mktMakerLevel": "0",
            "affiliateID": 0,
            "rsaPublicKey": "",
            "isMaster": True,
            "parentUid": "0",
        }

    def log(self, call: Call) -> Row:
        """One row per change of a balance, newest first (section 6.8)."""
        fields = call.fields
        start, end = span(fields, millis(call.at), default_ms=DAY_MS, longest_ms=WEEK_MS)
        name = self._exchange.wallet_of("linear")
        numbered = []
        for row in self._exchange.log(call.account.key, name):
            if not start <= millis(row.at) <= end:
                continue
            shown = self._rows.log(row, call.account.uid)
            if _wanted(shown, fields):
                numbered.append((row.id, shown))
        numbered.sort(key=lambda pair: -pair[0])
        rows, cursor = page(numbered, fields, 20, 50)
        return {"nextPageCursor": cursor, "list": rows}

    def withdrawal(self, call: Call) -> Row:
        """What could leave the account, per coin."""
        name = self._exchange.wallet_of("linear")
        coins = call.fields.need("coinName").split(",")
        free = {
            coin: plain(max(self._exchange.balance(call.account.key, name, coin).available, ZERO))
            for coin in coins
        }
        return {"availableWithdrawal": free[coins[0]], "availableWithdrawalMap": free}

    def collateral(self, call: Call) -> Row:
        """Every held coin is collateral and none can be borrowed here."""
        name = self._exchange.wallet_of("linear")
        wanted = call.fields.text("currency")
        rows = [
            {
                "currency": one.asset,
                "hourlyBorrowRate": "0",
                "maxBorrowingAmount": "0",
                "freeBorrowingLimit": "0",
                "freeBorrowAmount": "0",
                "borrowAmount": "0",
                "otherBorrowAmount": "0",
                "availableToBorrow": "0",
                "borrowable": False,
                "borrowUsageRate": "0",
                "marginCollateral": True,
                "collateralSwitch": True,
                "collateralRatio": "1",
                "freeBorrowingAmount": "",
            }
            for one in self._exchange.balances(call.account.key, name)
            if wanted in ("", one.asset)
        ]
        return {"list": rows}

    def settings(self, call: Call) -> Row:
        """Read-back of the price-band choice; the two flags mean opposite things (6.9)."""
        adjusts, key = self._entry.adjusts, call.account.key
        return {
            "lpaSpot": adjusts.get((key, True), False),
            "lpaPerp": not adjusts.get((key, False), True),
            "deltaEnable": False,
        }

    def set_limit_action(self, call: Call) -> Row:
        modify = call.fields.raw("modifyEnable")
        if not isinstance(modify, bool):
            raise invalid("modifyEnable", modify)
        self._entry.adjusts[call.account.key, call.fields.category() == "spot"] = modify
        return {}

    def borrow_check(self, call: Call) -> Row:
        """How much can be bought or sold on spot now, with own funds only (section 5.9)."""
        sheet = self._entry.sheet("spot", call.fields.need("symbol"))
        instrument = sheet.instrument
        selling = call.fields.choice("side", ("Buy", "Sell")) == "Sell"
        coin = instrument.base if selling else instrument.quote
        wallet = self._exchange.wallet_of("spot")
        free = max(self._exchange.balance(call.account.key, wallet, coin).available, ZERO)
        price = instrument.price(self._exchange.ticker(sheet.id).last_ticks)
        size = free if selling else ROUNDED.divide(free, price) if price else ZERO
        quantity = sheet.count(int(instrument.lots_within(size)))
        amount = short(size * price)
        return {
            "symbol": sheet.symbol,
            "side": "Sell" if selling else "Buy",
            "maxTradeQty": quantity,
            "maxTradeAmount": amount,
            "spotMaxTradeQty": quantity,
            "spotMaxTradeAmount": amount,
            "borrowCoin": coin,
        }


def _average(sheet: Sheet, size: Decimal, value: Decimal) -> Decimal:
    top, bottom = (size, value) if sheet.inverse else (value, size)
    return ROUNDED.divide(top, bottom) if bottom else ZERO


def _derivatives_only(call: Call) -> None:
    if call.category == "spot":
        raise invalid("category", "spot")


def _wanted(row: Row, fields: Fields) -> bool:
    return all(
        fields.text(name, row[column]) == row[column]
        for name, column in (("category", "category"), ("currency", "currency"), ("type", "type"))
    )
