"""The private frames and answers of Binance as structs, one shape for both products."""

import msgspec
from msgspec import Raw


class PrivateFrame(msgspec.Struct):
    """Anything on a private socket: an answer, a wrapped event, a bare event."""

    id: int | str | None = None
    status: int = 0
    result: Raw = Raw()
    error: Raw = Raw()
    rateLimits: list[Raw] = []
    event: Raw = Raw()
    data: Raw = Raw()
    e: str = ""


class Execution(msgspec.Struct):
    """executionReport, and the `o` of ORDER_TRADE_UPDATE."""

    s: str
    c: str
    S: str
    x: str
    X: str
    i: int
    l: str  # noqa: E741 - the venue's name for the last size
    z: str
    L: str
    T: int
    t: int
    m: bool
    f: str = ""
    n: str | None = None
    N: str | None = None
    C: str = ""
    r: str = ""
    er: str | int = ""
    q: str = "0"
    p: str = "0"


class OrderUpdate(msgspec.Struct):
    o: Execution


class SpotBalance(msgspec.Struct):
    a: str
    f: str
    l: str  # noqa: E741 - the venue's name for what is locked


class SpotPosition(msgspec.Struct):
    B: list[SpotBalance]


class BalanceUpdate(msgspec.Struct):
    """A change from outside: asset, signed amount, time."""

    a: str
    d: str
    T: int


class UpdatedBalance(msgspec.Struct):
    a: str
    wb: str


class UpdatedPosition(msgspec.Struct):
    s: str
    pa: str
    ep: str = "0"
    ps: str = "BOTH"


class AccountChange(msgspec.Struct):
    m: str = ""
    B: list[UpdatedBalance] = []
    P: list[UpdatedPosition] = []


class AccountUpdate(msgspec.Struct):
    a: AccountChange


class ResponseFill(msgspec.Struct):
    price: str
    qty: str
    commission: str
    commissionAsset: str
    tradeId: int


class OrderState(msgspec.Struct):
    """An order as answers to place, cancel, amend and query describe it."""

    symbol: str
    orderId: int
    status: str = ""
    side: str = ""
    clientOrderId: str = ""
    origClientOrderId: str = ""
    price: str = "0"
    origQty: str = "0"
    executedQty: str = "0"
    timeInForce: str = ""
    transactTime: int = 0
    fills: list[ResponseFill] = []


class Reduced(msgspec.Struct):
    """The order in an answer to order.amend.keepPriority."""

    symbol: str
    orderId: int
    price: str
    qty: str
    status: str = ""


class ReducedAnswer(msgspec.Struct):
    amendedOrder: Reduced


class Replaced(msgspec.Struct):
    """cancelReplace, as a result or as the data of a refusal."""

    cancelResult: str = ""
    newOrderResult: str = ""
    cancelResponse: Raw = Raw()
    newOrderResponse: Raw = Raw()


class OwnTrade(msgspec.Struct):
    """myTrades and userTrades: the spot names begin with `is`."""

    id: int
    orderId: int
    price: str
    qty: str
    commission: str
    commissionAsset: str
    time: int
    isBuyer: bool = False
    buyer: bool = False
    isMaker: bool = False
    maker: bool = False


class Rates(msgspec.Struct, frozen=True):
    maker: str = "0"
    taker: str = "0"
    buyer: str = "0"
    seller: str = "0"


class SpotFees(msgspec.Struct):
    symbol: str
    standardCommission: Rates
    specialCommission: Rates = Rates()
    taxCommission: Rates = Rates()


class FuturesFees(msgspec.Struct):
    symbol: str
    makerCommissionRate: str
    takerCommissionRate: str


class SpotHolding(msgspec.Struct):
    asset: str
    free: str
    locked: str


class SpotAccount(msgspec.Struct):
    balances: list[SpotHolding]


class FuturesBalance(msgspec.Struct):
    asset: str
    balance: str
    availableBalance: str


class FuturesPosition(msgspec.Struct):
    symbol: str
    positionAmt: str
    positionSide: str
    entryPrice: str = "0"
    leverage: str = ""  # COIN-M only
    marginType: str = ""
    liquidationPrice: str | None = None  # "0": none; the stream does not tell it
    adl: int | None = None  # 0 (last) to 4 (first); USD-M only


class SymbolConfig(msgspec.Struct):
    symbol: str
    leverage: int
    marginType: str = ""


class LeverageSet(msgspec.Struct):
    symbol: str
    leverage: int


class PositionSides(msgspec.Struct):
    dualSidePosition: bool


class KeyRights(msgspec.Struct):
    """What is not told counts as permitted."""

    ipRestrict: bool = False
    enableSpotAndMarginTrading: bool = True
    enableFutures: bool = True
    enableWithdrawals: bool = True


class AccountRights(msgspec.Struct):
    canTrade: bool = True
    canWithdraw: bool = True


class Income(msgspec.Struct):
    symbol: str
    incomeType: str
    income: str
    asset: str
    time: int
    tranId: int | str
    tradeId: int | str | None = None


class ListenKey(msgspec.Struct):
    listenKey: str = ""
