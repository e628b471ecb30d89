"""Account calls of REST: balances, positions, settings, fees, bills, sizes, transfers."""

from decimal import Decimal

from oneprice.model.units import HOUR, MILLI, ZERO, plain
from oneprice.twin.contract import Exchange, LogRow, Position, Refusal
from oneprice.twin.dialects.okx.account_rows import BILL_TYPES, AccountRows, bill_sub_type
from oneprice.twin.dialects.okx.envelope import Answer, Failure, Row, short
from oneprice.twin.dialects.okx.facts import Sheet, Sheets
from oneprice.twin.dialects.okx.fields import Fields, page, wrong
from oneprice.twin.dialects.okx.listings import GROUPS
from oneprice.twin.dialects.okx.market_rest import MarketRest
from oneprice.twin.dialects.okx.names import BILL_BASE, position_name
from oneprice.twin.dialects.okx.order_entry import POSITION_INDEXES, OrderEntry, quantity
from oneprice.twin.dialects.okx.order_rows import POSITION_SIDES, trade_name
from oneprice.twin.dialects.okx.refusals import failure
from oneprice.twin.dialects.okx.trade_rest import Call, Handler

FUNDING, TRADING = "6", "18"  # account types of transfers
DAY_NS = 24 * HOUR
SUB_TYPES = {
    "1": {"11": "Transfer in", "12": "Transfer out", "200": "System transfer in",
          "202": "System transfer out"},
    "2": {"1": "Buy", "2": "Sell", "3": "Open long", "4": "Open short", "5": "Close long",
          "6": "Close short"},
    "3": {"112": "Delivery long", "113": "Delivery short"},
    "5": {"104": "Forced liquidation long", "105": "Forced liquidation short",
          "110": "Transfer in of insurance"},
    "7": {"9": "Interest deduction for Market loans"},
    "8": {"173": "Funding fee expense", "174": "Funding fee income"},
    "9": {"125": "ADL close long", "126": "ADL close short"},
}  # fmt: skip
TYPE_NAMES = {"1": "Transfer", "2": "Trade", "3": "Delivery", "5": "Liquidation",
              "7": "Interest deduction", "8": "Funding fee", "9": "ADL"}


class AccountRest:
    """Handlers of /api/v5/account and /api/v5/asset."""

    def __init__(
        self,
        exchange: Exchange,
        sheets: Sheets,
        rows: AccountRows,
        entry: OrderEntry,
        market: MarketRest,
    ) -> None:
        self._exchange = exchange
        self._sheets = sheets
        self._rows = rows
        self._entry = entry
        self._market = market
        # The funding account lies outside the exchange: (key, coin) -> amount.
        self._funding: dict[tuple[str, str], Decimal] = {}
        self._transfers: dict[tuple[str, str], Row] = {}

    def gets(self) -> dict[str, Handler]:
        """Every GET path of this module."""
        return {
            "/api/v5/account/balance": self.balance,
            "/api/v5/account/positions": self.positions,
            "/api/v5/account/positions-history": lambda call: Answer(data=[]),
            "/api/v5/account/config": self.config,
            "/api/v5/account/instruments": lambda call: Answer(
                data=self._market.listed(call.fields, call.at)
            ),
            "/api/v5/account/leverage-info": self.leverage,
            "/api/v5/account/max-size": self.max_size,
            "/api/v5/account/max-avail-size": self.max_available,
            "/api/v5/account/trade-fee": self.fees,
            "/api/v5/account/bills": lambda call: self.bills(call, 7),
            "/api/v5/account/bills-archive": lambda call: self.bills(call, 90),
            "/api/v5/account/subtypes": self.subtypes,
            "/api/v5/asset/balances": self.funding_balances,
            "/api/v5/asset/transfer-state": self.transfer_state,
            "/api/v5/asset/currencies": self.currencies,
        }

    def posts(self) -> dict[str, Handler]:
        """Every POST path of this module."""
        return {
            "/api/v5/account/set-position-mode": self.set_position_mode,
            "/api/v5/account/set-leverage": self.set_leverage,
            "/api/v5/account/position/margin-balance": self.margin_balance,
            "/api/v5/account/set-account-level": _website_only,
            "/api/v5/account/demo-adjust-balance": _demo_only,
            "/api/v5/asset/transfer": self.transfer,
        }

    # Views -------------------------------------------------------------------------------------

    def balance(self, call: Call) -> Answer:
        coins = call.fields.text("ccy")
        wanted = coins.split(",") if coins else None
        return Answer(data=[self._rows.balance(call.account, wanted)])

    def positions(self, call: Call) -> Answer:
        """Open positions; named instruments are shown flat, too, once they were held."""
        fields, key = call.fields, call.account.key
        names = fields.text("instId").split(",") if "instId" in fields else []
        if len(names) > 10:
            raise wrong("instId")
        chosen = fields.text("posId")
        shown = []
        for position in self._positions(key, flat=bool(names)):
            sheet = self._sheets.by_id[position.instrument]
            name = position_name(key, position.instrument, position.position_index)
            if (
                fields.text("instType") in ("", sheet.inst_type)
                and (not names or sheet.inst_id in names)
                and chosen in ("", name)
            ):
                trade = self.last_trade(position)
                shown.append(self._rows.position(position, trade, call.at))
        return Answer(data=shown)

    def last_trade(self, position: Position) -> str:
        """The id of the latest trade of a position."""
        fills = self._exchange.fills(position.account, instrument=position.instrument)
        return str(fills[-1].trade_id) if fills else ""

    def config(self, call: Call) -> Answer:
        """What a client checks at start-up: account level, position mode, permissions."""
        account = call.account
        row = {
            "uid": str(account.uid),
            "mainUid": str(account.uid),
            "acctLv": self._entry.level,
            "acctStpMode": "cancel_maker",
            "posMode": "long_short_mode" if self._hedged(account.key) else "net_mode",
            "autoLoan": False,
            "enableSpotBorrow": False,
            "greeksType": "PA",
            "feeType": "0",
            "level": "Lv1",
            "levelTmp": "",
            "ctIsoMode": "automatic",
            "mgnIsoMode": "automatic",
            "kycLv": "3",
            "ip": ",".join(account.addresses),
            "label": "twin",
            "perm": "read_only" if account.read_only else "read_only,trade",
            "roleType": "0",
            "spotRoleType": "0",
            "opAuth": "0",
            "liquidationGear": "-1",
            "settleCcy": "USDT",
            "settleCcyList": ["USDT"],
            "type": "0",
        }
        return Answer(data=[row])

    def fees(self, call: Call) -> Answer:
        """Negative is a cost; `feeGroup` is the current form, the rest is kept for old clients."""
        fields = call.fields
        kind = fields.choice("instType", ("SPOT", "MARGIN", "SWAP", "FUTURES"))
        found = [
            sheet
            for sheet in self._sheets.of("SPOT" if kind == "MARGIN" else kind)
            if fields.text("instId") in ("", sheet.inst_id)
            and fields.text("instFamily", fields.text("uly")) in ("", sheet.family)
            and fields.text("groupId") in ("", GROUPS[sheet.inst_type])
        ]
        if not found:
            raise failure(Refusal("no_such_instrument"))
        maker, taker = (-rate for rate in self._exchange.fees(call.account.key, found[0].id))
        pair = {"maker": plain(maker), "taker": plain(taker)}
        row = {
            "level": "Lv1",
            "instType": kind,
            "ts": str(call.at // MILLI),
            "feeGroup": [{"groupId": GROUPS[found[0].inst_type], **pair}],
            **pair,
            "makerU": plain(maker),
            "takerU": plain(taker),
            "makerUSDC": plain(maker),
            "takerUSDC": plain(taker),
            "category": "1",
            "ruleType": "normal",
            "delivery": "",
            "exercise": "",
            "settle": "",
            "fiat": [],
        }
        return Answer(data=[row])

    def bills(self, call: Call, days: int) -> Answer:
        """The ledger, newest first; cursors are bill ids."""
        fields, key = call.fields, call.account.key
        begin, end = fields.whole("begin", 0), fields.whole("end", 1 << 60)
        pairs = [
            (BILL_BASE + row.id, row)
            for row in self._exchange.log(key, self._rows.wallet)
            if row.at > call.at - days * DAY_NS
            and begin <= row.at // MILLI <= end
            and self._billed(row, fields)
        ]
        trades = {fill.id: trade_name(fill) for fill in self._exchange.fills(key)}
        shown: list[LogRow] = page(pairs, fields, 100, 100)
        return Answer(data=[self._rows.bill(row, trades.get(row.fill_id, "")) for row in shown])

    def _billed(self, row: LogRow, fields: Fields) -> bool:
        sheet = self._sheets.by_id.get(row.instrument)
        return (
            fields.text("ccy") in ("", row.asset)
            and fields.text("type") in ("", BILL_TYPES.get(row.kind))
            and fields.text("subType") in ("", bill_sub_type(row))
            and fields.text("instType") in ("", sheet.inst_type if sheet else "")
            and fields.text("instId") in ("", sheet.inst_id if sheet else "")
        )

    def subtypes(self, call: Call) -> Answer:
        rows = [
            {
                "type": kind,
                "typeDesc": TYPE_NAMES[kind],
                "subTypeDetails": [
                    {"subType": one, "subTypeDesc": text} for one, text in names.items()
                ],
            }
            for kind, names in SUB_TYPES.items()
        ]
        return Answer(data=rows)

    # Settings ----------------------------------------------------------------------------------

    def set_position_mode(self, call: Call) -> Answer:
        """Net or long/short for all contracts at once; needs no positions and orders."""
        mode = call.fields.choice("posMode", ("long_short_mode", "net_mode"))
        wanted = mode == "long_short_mode"
        for market in self._contract_markets():
            if self._exchange.hedge_mode(call.account.key, market) == wanted:
                continue
            for other in self._contract_markets():
                if self._busy(call.account.key, other):
                    raise failure(Refusal("mode_blocked"))
            self._exchange.set_hedge_mode(call.account.key, market, wanted, call.at)
        return Answer(data=[{"posMode": mode}])

    def leverage(self, call: Call) -> Answer:
        mode = call.fields.choice("mgnMode", ("cross", "isolated"))
        names = call.fields.need("instId").split(",")
        rows = []
        for name in names:
            sheet = self._contract(name)
            lever = plain(self._exchange.leverage(call.account.key, sheet.id))
            hedged = self._exchange.hedge_mode(call.account.key, sheet.market)
            sides = ("long", "short") if hedged and mode == "isolated" else ("net",)
            rows += [
                {"instId": name, "ccy": "", "mgnMode": mode, "posSide": side, "lever": lever}
                for side in sides
            ]
        return Answer(data=rows)

    def set_leverage(self, call: Call) -> Answer:
        """Cross futures share it over the family; swaps have their own (section 13)."""
        fields, key = call.fields, call.account.key
        mode = fields.choice("mgnMode", ("cross", "isolated"))
        lever = fields.positive("lever")
        if "instId" not in fields and "ccy" in fields:
            raise Failure("51010", "Request unsupported under current account mode.")
        sheet = self._contract(fields.need("instId"))
        hedged = self._exchange.hedge_mode(key, sheet.market)
        side = fields.text("posSide")
        if hedged and mode == "isolated" and side not in ("long", "short"):
            raise wrong("posSide")
        together = [sheet]
        if sheet.inst_type == "FUTURES" and mode == "cross":
            together = [one for one in self._sheets.of("FUTURES") if one.family == sheet.family]
        for one in together:
            try:
                self._exchange.set_leverage(key, one.id, lever, call.at)
            except Refusal as refusal:
                if refusal.word == "insufficient_margin":
                    raise Failure("59103", "Leverage is too low and no sufficient margin in your "
                                  "account.") from None
                if refusal.word != "nothing_changed":
                    raise failure(refusal) from None
        row = {"lever": plain(lever), "mgnMode": mode, "instId": sheet.inst_id, "posSide": side}
        return Answer(data=[row])

    def margin_balance(self, call: Call) -> Answer:
        """Add money to, or take it from, an isolated position."""
        fields, key = call.fields, call.account.key
        sheet = self._contract(fields.need("instId"))
        index = POSITION_INDEXES.get(fields.need("posSide"))
        if index is None:
            raise wrong("posSide")
        amount = fields.positive("amt")
        kind = fields.choice("type", ("add", "reduce"))
        try:
            self._exchange.add_margin(
                key, sheet.id, index, amount if kind == "add" else -amount, call.at
            )
        except Refusal as refusal:
            if refusal.word in ("no_position", "margin_mode"):
                raise Failure("59300", "Margin call failed. Position does not exist.") from None
            if refusal.word == "insufficient_margin":
                raise Failure("59301", "Margin adjustment failed for exceeding the max limit")\
                    from None
            raise failure(refusal) from None
        row = {
            "instId": sheet.inst_id,
            "posSide": POSITION_SIDES[index],
            "amt": plain(amount),
            "type": kind,
            "ccy": sheet.instrument.settle,
            "leverage": plain(self._exchange.leverage(key, sheet.id)),
        }
        return Answer(data=[row])

    # Sizes -------------------------------------------------------------------------------------

    def max_size(self, call: Call) -> Answer:
        """The largest order either way that the money allows now."""
        return self._sizes(call, "maxBuy", "maxSell", in_quote=False)

    def max_available(self, call: Call) -> Answer:
        """The same; a spot buy is told in quote."""
        return self._sizes(call, "availBuy", "availSell", in_quote=True)

    def _sizes(self, call: Call, buy: str, sell: str, *, in_quote: bool) -> Answer:
        fields, key = call.fields, call.account.key
        mode = fields.choice("tdMode", ("cash", "cross", "isolated"))
        rows = []
        for name in fields.need("instId").split(","):
            sheet = self._sheets.by_inst.get(name)
            if sheet is None:
                raise failure(Refusal("no_such_instrument"))
            sizes = self._room(key, sheet, fields, in_quote=in_quote)
            coin = sheet.instrument.settle if not sheet.spot else ""
            rows.append({"instId": name, "ccy": coin, "tdMode": mode} | dict(
                zip((buy, sell), sizes, strict=True)
            ))
        return Answer(data=rows)

    def _room(
        self, key: str, sheet: Sheet, fields: Fields, *, in_quote: bool
    ) -> tuple[str, str]:
        grid = sheet.instrument
        ticker = self._exchange.ticker(sheet.id)
        price = grid.price(ticker.last_ticks)
        if "px" in fields:
            price = fields.positive("px")
        wallet = self._rows.wallet
        if sheet.spot:
            money = self._exchange.balance(key, wallet, grid.quote).free
            coins = self._exchange.balance(key, wallet, grid.base).free
            spend = money if in_quote else grid.size(quantity(sheet, money / price))
            return short(spend), grid.size_text(quantity(sheet, coins))
        free = self._exchange.balance(key, wallet, grid.settle).available
        rate = self._sheets.dollar_rate(grid.settle)
        if self._rows.pooled and rate:
            free = self._exchange.pool(key, wallet).available / rate
        leverage = self._exchange.leverage(key, sheet.id)
        each = grid.contract_value / price if sheet.inverse else grid.contract_value * price
        most = grid.size_text(quantity(sheet, free * leverage / each))
        return most, most

    # Funding account ---------------------------------------------------------------------------

    def funding_balances(self, call: Call) -> Answer:
        wanted = call.fields.text("ccy")
        rows = [
            {"ccy": coin, "bal": plain(amount), "availBal": plain(amount), "frozenBal": "0"}
            for (key, coin), amount in self._funding.items()
            if key == call.account.key and amount and (not wanted or coin in wanted.split(","))
        ]
        return Answer(data=rows)

    def transfer(self, call: Call) -> Answer:
        """Between the funding and the trading account; the first lies outside the exchange."""
        fields, key = call.fields, call.account.key
        coin, amount = fields.need("ccy"), fields.positive("amt")
        way = (fields.need("from"), fields.need("to"))
        place = (key, coin)
        wallet = self._rows.wallet
        try:
            if way == (FUNDING, TRADING):
                if self._funding.get(place, ZERO) < amount:
                    raise Refusal("insufficient_funds")
                number = self._exchange.transfer(key, coin, amount, ("", wallet), call.at)
                self._funding[place] -= amount
            elif way == (TRADING, FUNDING):
                number = self._exchange.transfer(key, coin, amount, (wallet, ""), call.at)
                self._funding[place] = self._funding.get(place, ZERO) + amount
            else:
                raise wrong("from")
        except Refusal as refusal:
            raise failure(refusal) from None
        row = {
            "transId": str(number),
            "ccy": coin,
            "clientId": fields.text("clientId"),
            "from": way[0],
            "amt": plain(amount),
            "to": way[1],
        }
        self._transfers[key, str(number)] = row | {"state": "success", "type": "0",
                                                   "subAcct": "", "instId": "", "toInstId": ""}
        return Answer(data=[row])

    def transfer_state(self, call: Call) -> Answer:
        found = self._transfers.get((call.account.key, call.fields.need("transId")))
        if found is None:
            raise Failure("58129", "Transfer ID does not exist.")
        return Answer(data=[found])

    def currencies(self, call: Call) -> Answer:
        """Coins of the instruments; nothing can be deposited or withdrawn here."""
        coins = [
            coin
            for sheet in self._sheets.all
            for coin in (sheet.instrument.base, sheet.instrument.quote)
            if coin != "USD"
        ]
        rows = [
            {"ccy": coin, "name": coin, "chain": f"{coin}-Twin", "canDep": False, "canWd": False,
             "canInternal": True, "minFee": "0", "maxFee": "0", "minWd": "0", "minDep": "0",
             "wdTickSz": "8", "mainNet": True}
            for coin in dict.fromkeys(coins)
        ]
        return Answer(data=rows)

    # Inner -------------------------------------------------------------------------------------

    def _contract(self, name: str) -> Sheet:
        sheet = self._sheets.by_inst.get(name)
        if sheet is None:
            raise failure(Refusal("no_such_instrument"))
        if sheet.spot:
            raise wrong("instId")
        return sheet

    def _contract_markets(self) -> list[str]:
        return list(dict.fromkeys(one.market for one in self._sheets.all if not one.spot))

    def _hedged(self, key: str) -> bool:
        markets = self._contract_markets()
        return bool(markets) and self._exchange.hedge_mode(key, markets[0])

    def _busy(self, key: str, market: str) -> bool:
        held = any(one.lots for one in self._exchange.positions(key, market))
        return held or bool(self._exchange.orders(key, market=market, only_open=True))

    def _positions(self, key: str, *, flat: bool) -> list[Position]:
        return [
            position
            for market in self._contract_markets()
            for position in self._exchange.positions(key, market)
            if position.lots or (flat and position.updated_at)
        ]


def _website_only(call: Call) -> Answer:
    raise Failure("51070", "Set account mode on the Web/App for the first time.")


def _demo_only(call: Call) -> Answer:
    raise Failure("50053", "This feature is only available in demo trading.")
