"""Cross-exchange: the same thing on two venues, bought where it is cheap, sold where it is dear.

Perpetual against perpetual is a holding that must be closed later, so the edge has to pay for
entry and exit; spot against spot uses inventory on the selling side and is complete at once.
"""

from oneprice.model.instrument import Instrument
from oneprice.strategies.pairing import PairSettings
from oneprice.strategies.pairs import PairTrader


class CrossExchangeSettings(PairSettings, frozen=True, kw_only=True):
    """Settings of cross_exchange."""

    spot: bool = True  # spot against spot
    derivatives: bool = True  # derivative against derivative of the same expiry
    mixed: bool = False  # spot against derivative; spot_futures does that with more care


class CrossExchange(PairTrader):
    """Any two venues."""

    def __init__(
        self, settings: CrossExchangeSettings | None = None, name: str = "cross_exchange"
    ) -> None:
        chosen = settings if settings is not None else CrossExchangeSettings()

        def fits(buy: Instrument, sell: Instrument) -> bool:
            if buy.venue == sell.venue:
                return False
            if buy.is_derivative is not sell.is_derivative:
                return chosen.mixed
            if buy.is_derivative:
                return chosen.derivatives and buy.expiry == sell.expiry
            return chosen.spot

        super().__init__(name, chosen, fits)
