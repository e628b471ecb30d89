"""Spot-futures: basis and reverse basis between spot and a perpetual or dated future.

Basis buys spot and sells the future. Reverse basis sells spot that we own (there is no
borrowing) and buys the future. Funding over the intended hold is an estimate and marked so.
"""

from decimal import Decimal

from oneprice.model.instrument import Instrument
from oneprice.strategies.pairing import PairSettings
from oneprice.strategies.pairs import PairTrader


class SpotFuturesSettings(PairSettings, frozen=True, kw_only=True):
    """Settings of spot_futures."""

    stop_bps: Decimal = Decimal("60")  # adverse move of the basis that ends a holding, bps
    same_venue: bool = True  # spot and future on one venue
    across_venues: bool = True  # spot on one, future on another
    dated: bool = True  # futures with an expiry too, not only perpetuals
    reverse: bool = True  # sell inventory, buy the future


class SpotFutures(PairTrader):
    """Spot on one side, a linear future on the other."""

    def __init__(
        self, settings: SpotFuturesSettings | None = None, name: str = "spot_futures"
    ) -> None:
        chosen = settings if settings is not None else SpotFuturesSettings()

        def fits(buy: Instrument, sell: Instrument) -> bool:
            if buy.is_derivative is sell.is_derivative:
                return False
            if not (chosen.same_venue if buy.venue == sell.venue else chosen.across_venues):
                return False
            if (buy.expiry or sell.expiry) and not chosen.dated:
                return False
            return chosen.reverse or sell.is_derivative

        super().__init__(name, chosen, fits)
