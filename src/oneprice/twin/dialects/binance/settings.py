"""What a futures customer sets: leverage, margin type and money, position and assets mode."""

from decimal import Decimal
from typing import Any

from oneprice.model.instrument import Instrument
from oneprice.model.units import ZERO, plain
from oneprice.twin.contract import Exchange, Refusal, RiskTier
from oneprice.twin.dialects.binance import denials
from oneprice.twin.dialects.binance.calls import Call
from oneprice.twin.dialects.binance.denials import Denied
from oneprice.twin.dialects.binance.market import MarketDesk
from oneprice.twin.dialects.binance.shapes import POSITION_SIDES

MARGIN_WORDS = {"cross": "CROSSED", "isolated": "ISOLATED"}


class FuturesSettings:
    """Of USD-M and COIN-M accounts."""

    def __init__(self, exchange: Exchange, desk: MarketDesk) -> None:
        self.exchange = exchange
        self.desk = desk
        self._joint: dict[str, bool] = {}

    def symbol_config(self, call: Call) -> list[dict[str, Any]]:
        return [
            {
                "symbol": instrument.symbol,
                "marginType": MARGIN_WORDS[self.exchange.margin_mode(call.key, instrument.id)],
                "isAutoAddMargin": False,
                "leverage": int(self.exchange.leverage(call.key, instrument.id)),
                "maxNotionalValue": self.most(call, instrument),
            }
            for instrument in self.desk.chosen(call)[0]
        ]

    def account_config(self, call: Call) -> dict[str, Any]:
        return {
            "feeTier": 0,
            "canTrade": not self.exchange.account(call.key).read_only,
            "canDeposit": True,
            "canWithdraw": True,
            "dualSidePosition": self.exchange.hedge_mode(call.key, call.product),
            "updateTime": 0,
            "multiAssetsMargin": self.joint(call.key),
            "tradeGroupId": -1,
        }

    def brackets(self, call: Call) -> Any:
        """GET /fapi/v1/leverageBracket; an object when a symbol is given. COIN-M: in coins."""
        chosen, one = self.desk.chosen(call)
        rows = [
            {
                "symbol": instrument.symbol,
                "brackets": [
                    _bracket(tier, call.product) for tier in self.exchange.tiers(instrument.id)
                ],
            }
            for instrument in chosen
        ]
        return rows[0] if one and call.product == "usdm" else rows

    def most(self, call: Call, instrument: Instrument) -> str:
        """The largest position value that the leverage allows."""
        leverage = self.exchange.leverage(call.key, instrument.id)
        tiers = self.exchange.tiers(instrument.id)
        fitting = [tier for tier in tiers if tier.leverage_max >= leverage]
        return plain(_cap(fitting[-1] if fitting else tiers[0]))

    def set_leverage(self, call: Call) -> dict[str, Any]:
        instrument = self.desk.find(call)
        call.need("leverage")
        leverage = call.integer("leverage", 0)
        try:
            self.exchange.set_leverage(call.key, instrument.id, Decimal(leverage), call.at)
        except Refusal as refusal:
            if refusal.word == "leverage":
                raise Denied(-4028, f"Leverage {leverage} is not valid") from None
            raise denials.translated("usdm", refusal.word) from None
        return {
            "symbol": instrument.symbol,
            "leverage": leverage,
            "maxNotionalValue": self.most(call, instrument),
        }

    def set_margin_type(self, call: Call) -> dict[str, Any]:
        """POST /fapi/v1/marginType, per symbol; isolated only in single-asset mode."""
        instrument = self.desk.find(call)
        wanted = call.need("marginType")
        modes = {word: mode for mode, word in MARGIN_WORDS.items()}
        if wanted not in modes:
            raise denials.bad_value("marginType")
        if wanted == "ISOLATED" and self.joint(call.key):
            raise Denied(
                -4168, "Unable to adjust to isolated-margin mode under the Multi-Assets mode."
            )
        try:
            self.exchange.set_margin_mode(call.key, instrument.id, modes[wanted], call.at)
        except Refusal as refusal:
            if refusal.word == "mode_unchanged":
                raise Denied(-4046, "No need to change margin type.") from None
            if self.exchange.orders(call.key, instrument=instrument.id, only_open=True):
                text = "Margin type cannot be changed if there exists open orders."
                raise Denied(-4047, text) from None
            text = "Margin type cannot be changed if there exists position."
            raise Denied(-4048, text) from None
        return {"code": 200, "msg": "success"}

    def move_margin(self, call: Call) -> dict[str, Any]:
        """POST /fapi/v1/positionMargin: type 1 adds to an isolated position, 2 takes."""
        instrument = self.desk.find(call)
        call.need("amount")
        kind, amount = call.integer("type", 0), call.decimal("amount") or ZERO
        if kind not in (1, 2) or amount <= 0:
            raise denials.bad_value("type" if amount > 0 else "amount")
        word = call.text("positionSide", "BOTH")
        if word not in POSITION_SIDES:
            raise denials.bad_value("positionSide")
        moved = amount if kind == 1 else -amount
        index = POSITION_SIDES.index(word)
        try:
            self.exchange.add_margin(call.key, instrument.id, index, moved, call.at)
        except Refusal as refusal:
            raise denials.translated("usdm", f"margin {refusal.word}") from None
        return {
            "amount": float(amount),
            "code": 200,
            "msg": "Successfully modify position margin.",
            "type": kind,
        }

    def hedge_mode(self, call: Call) -> dict[str, Any]:
        return {"dualSidePosition": self.exchange.hedge_mode(call.key, call.product)}

    def set_hedge_mode(self, call: Call) -> dict[str, Any]:
        call.need("dualSidePosition")
        wanted = bool(call.flag("dualSidePosition"))
        try:
            self.exchange.set_hedge_mode(call.key, call.product, wanted, call.at)
        except Refusal as refusal:
            if refusal.word == "mode_blocked" and self.exchange.orders(
                call.key, market=call.product, only_open=True
            ):
                raise Denied(
                    -4067, "Position side cannot be changed if there exists open orders."
                ) from None
            raise denials.translated("usdm", refusal.word) from None
        return {"code": 200, "msg": "success"}

    def joint(self, key: str) -> bool:
        """Whether an account is in multi-assets mode."""
        return self._joint.get(key, False)

    def multi_assets(self, call: Call) -> dict[str, Any]:
        return {"multiAssetsMargin": self.joint(call.key)}

    def set_multi_assets(self, call: Call) -> dict[str, Any]:
        """The twin's wallet knows one coin, so the mode is remembered and weighs nothing."""
        call.need("multiAssetsMargin")
        wanted = bool(call.flag("multiAssetsMargin"))
        if wanted == self.joint(call.key):
            raise Denied(-4171, "Multi-Assets mode: no need to change.")
        listed = self.exchange.listings(call.product)
        modes = [self.exchange.margin_mode(call.key, one.instrument.id) for one in listed]
        if wanted and "isolated" in modes:
            text = "Multi-Assets mode cannot be turned on with isolated-margin symbols."
            raise Denied(-4170, text)
        self._joint[call.key] = wanted
        return {"code": 200, "msg": "success"}

    def fee_burn(self, call: Call) -> dict[str, Any]:
        return {"feeBurn": False}


def _cap(tier: RiskTier) -> Decimal:
    """The end of a bracket; the last one is told as tenfold its beginning."""
    return tier.value_to or tier.value_from * 10 or Decimal(1_000_000_000)


def _bracket(tier: RiskTier, product: str) -> dict[str, Any]:
    names = ("notionalCap", "notionalFloor") if product == "usdm" else ("qtyCap", "qtylFloor")
    return {
        "bracket": tier.number,
        "initialLeverage": int(tier.leverage_max),
        names[0]: int(_cap(tier)),
        names[1]: int(tier.value_from),
        "maintMarginRatio": float(tier.maintenance_rate),
        "cum": float(tier.deduction),
    }
