"""Margin calls of REST: the account's margin mode, margin of a position, brackets of risk."""

from decimal import Decimal

from oneprice.model.units import plain
from oneprice.twin.contract import Exchange, Refusal, RiskTier
from oneprice.twin.dialects.bybit.envelope import Failure, Row, short, stamp
from oneprice.twin.dialects.bybit.facts import Sheet, Sheets
from oneprice.twin.dialects.bybit.fields import invalid
from oneprice.twin.dialects.bybit.order_entry import OrderEntry
from oneprice.twin.dialects.bybit.refusals import failure
from oneprice.twin.dialects.bybit.trade_rest import Call, Handler

MODES = {"REGULAR_MARGIN": "cross", "ISOLATED_MARGIN": "isolated"}
MODE_FAILED = 3400045
HELD, ORDERED = "3400104", "3400103"


class MarginRest:
    """Handlers of margin calls; the margin mode is one for the whole account here."""

    def __init__(self, exchange: Exchange, sheets: Sheets, entry: OrderEntry) -> None:
        self._exchange = exchange
        self._sheets = sheets
        self._entry = entry

    def posts(self) -> dict[str, Handler]:
        return {
            "/v5/account/set-margin-mode": self.set_mode,
            "/v5/position/add-margin": self.add_margin,
        }

    def mode(self, key: str) -> str:
        """As the account names its margin mode."""
        contracts = self._contracts()
        if not contracts:
            return "REGULAR_MARGIN"
        held = self._exchange.margin_mode(key, contracts[0].id)
        return next(name for name, mode in MODES.items() if mode == held)

    def set_mode(self, call: Call) -> Row:
        """Refused as a whole, with reasons, while positions or orders are open."""
        wanted = call.fields.need("setMarginMode")
        if wanted not in MODES:
            raise invalid("setMarginMode", wanted)
        key = call.account.key
        reasons = []
        for category in ("linear", "inverse"):
            if any(one.lots for one in self._exchange.positions(key, category)):
                reasons.append(
                    {"reasonCode": HELD, "reasonMsg": f"You have an open position: {category}"}
                )
            if self._exchange.orders(key, market=category, only_open=True):
                reasons.append(
                    {"reasonCode": ORDERED, "reasonMsg": f"You have open orders: {category}"}
                )
        if reasons:
            raise Failure(MODE_FAILED, "Set margin mode failed", {"reasons": reasons})
        for sheet in self._contracts():
            if self._exchange.margin_mode(key, sheet.id) != MODES[wanted]:
                self._exchange.set_margin_mode(key, sheet.id, MODES[wanted], call.at)
        return {"reasons": []}

    def add_margin(self, call: Call) -> Row:
        """To an isolated position, or below zero from it; the position as it stands then."""
        sheet = self._entry.sheet(call.category, call.fields.need("symbol"))
        amount = call.fields.decimal("margin")
        if sheet.spot or not amount:
            raise invalid("margin", call.fields.text("margin"))
        index = call.fields.whole("positionIdx", 0, 0, 2)
        key = call.account.key
        try:
            self._exchange.add_margin(key, sheet.id, index, amount, call.at)
        except Refusal as refusal:
            raise failure(refusal, call.category) from None
        position = self._exchange.position(key, sheet.id, index)
        return {
            "category": sheet.category,
            "symbol": sheet.symbol,
            "positionIdx": index,
            "riskId": position.tier,
            "riskLimitValue": limit_value(self._exchange.tiers(sheet.id), position.tier),
            "size": sheet.count(abs(position.lots)),
            "avgPrice": short(position.entry),
            "liqPrice": sheet.quoted(position.liquidation),
            "bustPrice": sheet.quoted(position.bankruptcy),
            "markPrice": sheet.quoted(position.mark),
            "positionValue": short(position.value),
            "leverage": plain(position.leverage),
            "autoAddMargin": 0,
            "positionStatus": "Normal",
            "positionIM": short(position.initial_margin),
            "positionMM": short(position.maintenance_margin),
            "unrealisedPnl": short(position.unrealised),
            "cumRealisedPnl": short(position.realised_ever),
            "createdTime": stamp(position.created_at),
            "updatedTime": stamp(position.updated_at),
        }

    def _contracts(self) -> list[Sheet]:
        return [sheet for sheet in self._sheets.all if not sheet.spot]


def limit_value(tiers: tuple[RiskTier, ...], number: int) -> str:
    """The position value up to which a bracket reaches; the last one is printed as tenfold."""
    tier = next(one for one in tiers if one.number == number)
    return plain(tier.value_to or tier.value_from * 10 or Decimal(10**9))


def risk_rows(sheet: Sheet, tiers: tuple[RiskTier, ...]) -> list[Row]:
    """Rows of /v5/market/risk-limit (section 4.8)."""
    return [
        {
            "id": tier.number,
            "symbol": sheet.symbol,
            "riskLimitValue": limit_value(tiers, tier.number),
            "maintenanceMargin": plain(tier.maintenance_rate),
            "initialMargin": short(tier.initial_rate),
            "isLowestRisk": int(tier.number == 1),
            "maxLeverage": f"{tier.leverage_max:.2f}",
            "mmDeduction": plain(tier.deduction) if tier.deduction else "",
        }
        for tier in tiers
    ]
