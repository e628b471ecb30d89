"""What the twins list by default, one row per instrument, as the venues' own lists have it.

Bybit: instruments-info of 2026-08; Binance: exchangeInfo; OKX: public/instruments (2022 list,
steps of 2026 where they changed); KuCoin: symbols and contracts/active; BitMEX: instrument/active
(grids of 2024; the quanto ETHUSD and its fees as they were in 2021).
"""

import msgspec

from oneprice.model.instrument import Payoff

SPOT, LINEAR, INVERSE, QUANTO = Payoff.SPOT, Payoff.LINEAR, Payoff.INVERSE, Payoff.QUANTO


class Grid(msgspec.Struct, frozen=True):
    """One listing; sizes in the venue's own unit, `value` is what one unit stands for.

    `symbol` of a dated one holds {yymmdd} or {code} (month letter and year) for its expiry.
    """

    market: str
    symbol: str
    payoff: Payoff
    coins: str  # base quote settle
    tick: str
    lot: str
    most: str  # largest limit order
    market_most: str = "0"  # largest market order, 0: the same
    least: str = ""  # smallest order, "": one lot
    notional: str = "0"
    band: str = "0.05"
    value: str = "1"
    fees: str = ""  # maker and taker where they are not those of the market
    hours: int = 8  # funding interval
    dated: str = ""


class Terms(msgspec.Struct, frozen=True, kw_only=True):
    """What all instruments of one market of a venue have in common."""

    fees: str  # maker and taker of customers without a level
    band_clips: bool = False
    orders_max: int = 500
    leverage_max: int = 100
    leverage_default: int = 10
    maintenance: str = "0.005"
    phase_hours: int = 0  # funding instants are at phase + n x interval
    delivery_hour: int = 8  # UTC
    funding_ahead: bool = False
    liquidation_fee: str = "0"


_BYBIT = (
    Grid("spot", "BTCUSDT", SPOT, "BTC USDT USDT", "0.1", "0.000001", "230", "120",
         notional="5", band="0.01"),
    Grid("spot", "ETHUSDT", SPOT, "ETH USDT USDT", "0.01", "0.00001", "8118", "2706",
         notional="5", band="0.01"),
    Grid("spot", "SOLUSDT", SPOT, "SOL USDT USDT", "0.01", "0.0001", "26000", "13000",
         notional="5", band="0.01"),
    Grid("linear", "BTCUSDT", LINEAR, "BTC USDT USDT", "0.10", "0.001", "1500", "150",
         notional="5", band="0.02"),
    Grid("linear", "ETHUSDT", LINEAR, "ETH USDT USDT", "0.01", "0.01", "10000", "2000",
         notional="5", band="0.04"),
    Grid("linear", "SOLUSDT", LINEAR, "SOL USDT USDT", "0.010", "0.1", "96000", "12000",
         notional="5", band="0.1"),
    Grid("inverse", "BTCUSD", INVERSE, "BTC USD BTC", "0.10", "1", "10000000", "1000000",
         notional="1", band="0.02"),
    Grid("inverse", "ETHUSD", INVERSE, "ETH USD ETH", "0.01", "1", "10000000", "1000000",
         notional="1", band="0.04"),
)  # fmt: skip
_BINANCE = (
    Grid("spot", "BTCUSDT", SPOT, "BTC USDT USDT", "0.01", "0.00001", "9000", "100",
         notional="5", band="0.5"),
    Grid("spot", "ETHUSDT", SPOT, "ETH USDT USDT", "0.01", "0.0001", "9000", "2500",
         notional="5", band="0.5"),
    Grid("spot", "SOLUSDT", SPOT, "SOL USDT USDT", "0.01", "0.001", "90000", "20000",
         notional="5", band="0.5"),
    Grid("usdm", "BTCUSDT", LINEAR, "BTC USDT USDT", "0.10", "0.001", "1000", "120",
         notional="100"),
    Grid("usdm", "ETHUSDT", LINEAR, "ETH USDT USDT", "0.01", "0.001", "10000", "2000",
         notional="20"),
    Grid("usdm", "SOLUSDT", LINEAR, "SOL USDT USDT", "0.0100", "0.01", "1000000", "80000",
         notional="5"),
    Grid("coinm", "BTCUSD_PERP", INVERSE, "BTC USD BTC", "0.1", "1", "1000000", "60000",
         value="100"),
    Grid("coinm", "ETHUSD_PERP", INVERSE, "ETH USD ETH", "0.01", "1", "1000000", "60000",
         value="10"),
)  # fmt: skip
_OKX = (
    Grid("spot", "BTC-USDT", SPOT, "BTC USDT USDT", "0.1", "0.00000001", "9999999999",
         least="0.00001"),
    Grid("spot", "ETH-USDT", SPOT, "ETH USDT USDT", "0.01", "0.000001", "999999999999",
         least="0.001"),
    Grid("spot", "SOL-USDT", SPOT, "SOL USDT USDT", "0.01", "0.000001", "999999999999",
         least="0.01"),
    Grid("swap", "BTC-USDT-SWAP", LINEAR, "BTC USDT USDT", "0.1", "0.01", "100000000", "35000",
         value="0.01"),
    Grid("swap", "ETH-USDT-SWAP", LINEAR, "ETH USDT USDT", "0.01", "0.01", "100000000", "30000",
         value="0.1"),
    Grid("swap", "SOL-USDT-SWAP", LINEAR, "SOL USDT USDT", "0.01", "0.01", "100000000", "20000",
         value="1"),
    Grid("swap", "BTC-USD-SWAP", INVERSE, "BTC USD BTC", "0.1", "1", "100000000", "4000",
         value="100"),
    Grid("swap", "ETH-USD-SWAP", INVERSE, "ETH USD ETH", "0.01", "1", "100000000", "30000",
         value="10"),
    Grid("futures", "BTC-USDT-{yymmdd}", LINEAR, "BTC USDT USDT", "0.1", "0.01", "1000000",
         "10000", value="0.01", dated="quarter"),
    Grid("futures", "BTC-USD-{yymmdd}", INVERSE, "BTC USD BTC", "0.1", "1", "1000000", "6000",
         value="100", dated="quarter"),
)  # fmt: skip
_KUCOIN = (
    Grid("spot", "BTC-USDT", SPOT, "BTC USDT USDT", "0.1", "0.00000001", "10000000000",
         least="0.00001", notional="0.1", band="0.1"),
    Grid("spot", "ETH-USDT", SPOT, "ETH USDT USDT", "0.01", "0.0000001", "10000000000",
         least="0.0001", notional="0.1", band="0.1"),
    Grid("spot", "SOL-USDT", SPOT, "SOL USDT USDT", "0.001", "0.0001", "10000000000",
         least="0.01", notional="0.1", band="0.1"),
    Grid("futures", "XBTUSDTM", LINEAR, "XBT USDT USDT", "0.1", "1", "1000000", value="0.001"),
    Grid("futures", "ETHUSDTM", LINEAR, "ETH USDT USDT", "0.01", "1", "1000000", value="0.01"),
    # the venue changes intervals contract by contract: nobody may take 8 h for granted
    Grid("futures", "SOLUSDTM", LINEAR, "SOL USDT USDT", "0.001", "1", "1000000", value="0.1",
         hours=4),
    Grid("futures", "XBTUSDM", INVERSE, "XBT USD XBT", "0.1", "1", "10000000"),
)  # fmt: skip
_BITMEX = (
    Grid("derivatives", "XBTUSD", INVERSE, "XBT USD XBT", "0.1", "100", "10000000"),
    # 100 satoshi per contract and dollar, whatever ether or bitcoin cost
    Grid("derivatives", "ETHUSD", QUANTO, "ETH USD XBT", "0.05", "1", "10000000",
         value="0.000001", fees="-0.00025 0.00075"),
    Grid("derivatives", "XBTUSDT", LINEAR, "XBT USDT USDT", "0.1", "100", "1000000000",
         value="0.000001"),
    Grid("derivatives", "XBT{code}", INVERSE, "XBT USD XBT", "0.5", "100", "10000000",
         dated="quarter"),
)  # fmt: skip
GRIDS: dict[str, tuple[Grid, ...]] = {
    "bybit": _BYBIT,
    "binance": _BINANCE,
    "okx": _OKX,
    "kucoin": _KUCOIN,
    "bitmex": _BITMEX,
}
# Bybit fee table VIP 0, Binance and OKX regular user, KuCoin VIP 0, BitMEX instrument rows
TERMS: dict[tuple[str, str], Terms] = {
    ("bybit", "spot"): Terms(fees="0.001 0.001"),
    ("bybit", "linear"): Terms(fees="0.0002 0.00055", band_clips=True),
    ("bybit", "inverse"): Terms(fees="0.0002 0.00055", band_clips=True),
    ("binance", "spot"): Terms(fees="0.001 0.001", orders_max=200),
    ("binance", "usdm"): Terms(
        fees="0.0002 0.0005",
        orders_max=200,
        leverage_max=125,
        leverage_default=20,
        liquidation_fee="0.0125",
    ),
    ("binance", "coinm"): Terms(
        fees="0.0002 0.0005",
        orders_max=200,
        leverage_max=125,
        leverage_default=20,
        liquidation_fee="0.0125",
    ),
    ("okx", "spot"): Terms(fees="0.0008 0.001"),
    ("okx", "swap"): Terms(fees="0.0002 0.0005", maintenance="0.004"),
    ("okx", "futures"): Terms(fees="0.0002 0.0005", maintenance="0.004"),
    ("kucoin", "spot"): Terms(fees="0.001 0.001", orders_max=200),
    ("kucoin", "futures"): Terms(
        fees="0.0002 0.0006", orders_max=200, leverage_max=125, maintenance="0.004"
    ),
    ("bitmex", "derivatives"): Terms(
        fees="0.0005 0.0005",
        orders_max=200,
        leverage_default=100,
        phase_hours=4,
        delivery_hour=12,
        funding_ahead=True,
    ),
}
