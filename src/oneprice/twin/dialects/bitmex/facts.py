"""Instruments as the venue sees them: contracts, multipliers, minor units and values."""

from decimal import Decimal

from oneprice.model.instrument import Instrument, Payoff
from oneprice.model.units import HOUR, ROUNDED, ZERO, Asset, InstrumentId, Money
from oneprice.twin.contract import Exchange, Extras, Ticker
from oneprice.twin.dialects.bitmex.envelope import number

MARKET = "derivatives"
WALLET = "margin"
# coin -> minor unit, decimals of it, name (section 2; GET /wallet/assets)
COINS: dict[Asset, tuple[str, int, str]] = {
    "XBT": ("XBt", 8, "Bitcoin"),
    "USDT": ("USDt", 6, "Tether"),
    "ETH": ("Gwei", 9, "Ethereum"),
    "SOL": ("LAMp", 9, "Solana"),
}
_SPOKEN = {"BTC": "XBT"}


def spoken(asset: Asset) -> Asset:
    """A coin as this venue names it."""
    return _SPOKEN.get(asset, asset)


def minor_name(asset: Asset) -> str:
    """XBt for XBT, USDt for USDT."""
    coin = COINS.get(spoken(asset))
    return coin[0] if coin else asset


def asset_of(currency: str, known: list[Asset]) -> Asset | None:
    """The asset behind XBt or XBT, None where no wallet has it."""
    for asset in known:
        if currency in (minor_name(asset), spoken(asset), asset):
            return asset
    return None


def minor(asset: Asset, amount: Money) -> int:
    """A whole number of the coin's smallest unit."""
    coin = COINS.get(spoken(asset))
    scale = coin[1] if coin else 8
    return int(amount.scaleb(scale).to_integral_value())


class Sheet:
    """One instrument with everything that follows from its contract (sections 5 and 6)."""

    def __init__(self, exchange: Exchange, instrument: Instrument, place: int) -> None:
        self._exchange = exchange
        self.instrument = instrument
        self.id: InstrumentId = instrument.id
        self.symbol = instrument.symbol
        self.place = place  # in the list of instruments, from 1
        self.root = spoken(instrument.base)
        self.currency = minor_name(instrument.settle)
        self.lot_size = int(instrument.lot)
        coin = COINS.get(spoken(instrument.settle))
        self.scale = coin[1] if coin else 8
        sign = -1 if instrument.payoff is Payoff.INVERSE else 1
        self.multiplier = sign * int(instrument.contract_value.scaleb(self.scale))

    # What it is -------------------------------------------------------------------------------

    @property
    def extras(self) -> Extras:
        return self._exchange.listing(MARKET, self.symbol).extras

    @property
    def inverse(self) -> bool:
        return self.instrument.payoff is Payoff.INVERSE

    @property
    def quanto(self) -> bool:
        return self.instrument.payoff is Payoff.QUANTO

    @property
    def dated(self) -> bool:
        return self.instrument.expiry > 0

    @property
    def reference(self) -> str:
        """The index: .BXBT, .BXBTT against tether, .BXBT30M for dated ones."""
        tail = "T" if self.instrument.quote == "USDT" else ""
        return f".B{self.root}{tail}{'30M' if self.dated else ''}"

    @property
    def state(self) -> str:
        status = self._exchange.listing(MARKET, self.symbol).status
        return {"trading": "Open", "paused": "Closed", "settling": "Settled"}.get(
            status, "Settled" if self.dated else "Delisted"
        )

    def ticker(self) -> Ticker:
        return self._exchange.ticker(self.id)

    # Grid -------------------------------------------------------------------------------------

    def contracts(self, lots: int) -> int:
        return self.lot_size * lots

    def price(self, ticks: int) -> Decimal:
        return number(self.instrument.price(ticks))

    def fine(self, price: Decimal) -> Decimal:
        """An average or mark price, with more digits than the grid has."""
        return number(price.quantize(self.instrument.tick / 1000))

    # Worth ------------------------------------------------------------------------------------

    def value(self, price: Decimal, contracts: int) -> int:
        """Signed value in minor units; a long inverse position has a negative one.

        Inverse values are rounded per lot, then multiplied (section 6).
        """
        if not price or not contracts:
            return 0
        if self.inverse:
            lot = ROUNDED.divide(Decimal(self.multiplier * self.lot_size), price)
            return int(lot.to_integral_value()) * contracts // self.lot_size
        return int((price * contracts * self.multiplier).to_integral_value())

    def major(self, amount: int) -> Decimal:
        """Minor units as coins."""
        return number(Decimal(amount).scaleb(-self.scale))

    def notionals(self, price: Decimal, contracts: int) -> tuple[Decimal, Decimal]:
        """Home (coins of the underlying) and foreign (quote) worth of an unsigned size."""
        size = abs(contracts)
        worth = self.major(abs(self.value(price, size)))
        if self.inverse:
            return worth, Decimal(size)
        if not self.quanto:
            return number(size * self.instrument.contract_value), worth
        foreign = self.in_quote(worth)
        home = ROUNDED.divide(foreign, price) if price else ZERO
        return number(home.quantize(Decimal("1E-8"))), number(foreign.quantize(Decimal("1E-8")))

    def in_quote(self, worth: Money) -> Money:
        """Settlement coins as quote, by the present index of the settlement coin."""
        return worth * self.settle_price()

    def settle_price(self) -> Decimal:
        """Quote per settlement coin, 1 where that is a dollar coin."""
        if self.instrument.settle.startswith("USD"):
            return Decimal(1)
        for listing in self._exchange.listings(MARKET):
            other = listing.instrument
            if other.base == self.instrument.settle:
                ticker = self._exchange.ticker(other.id)
                return ticker.index or ticker.mark
        return ZERO


class Sheets:
    """All instruments, found by symbol or id."""

    def __init__(self, exchange: Exchange) -> None:
        listed = [one.instrument for one in exchange.listings(MARKET)]
        self.all = [Sheet(exchange, one, place) for place, one in enumerate(listed, 1)]
        self.by_id = {sheet.id: sheet for sheet in self.all}
        self.by_symbol = {sheet.symbol: sheet for sheet in self.all}

    def find(self, symbol: str) -> Sheet | None:
        return self.by_symbol.get(symbol)

    def select(self, wanted: str) -> list[Sheet]:
        """By symbol, root (its nearest contract) or root:interval; all where nothing is said."""
        if not wanted:
            return self.all
        if wanted in self.by_symbol:
            return [self.by_symbol[wanted]]
        root, _, interval = wanted.partition(":")
        family = [sheet for sheet in self.all if sheet.root == root]
        if interval == "perpetual":
            return [sheet for sheet in family if not sheet.dated]
        dated = sorted(
            (sheet for sheet in family if sheet.dated), key=lambda one: one.instrument.expiry
        )
        if interval in ("", "nearest"):
            return dated[:1] or family[:1]
        return dated if interval == "quarterly" else []

    def indices(self) -> dict[str, Sheet]:
        """Index symbols and an instrument that knows their price."""
        found: dict[str, Sheet] = {}
        for sheet in self.all:
            found.setdefault(sheet.reference, sheet)
        return found


def day_start(at: int) -> int:
    """The last daily close: 12:00 UTC, in ns; realised profit starts anew there."""
    half = 12 * HOUR
    return (at + half) // (24 * HOUR) * (24 * HOUR) - half

