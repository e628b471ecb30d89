"""What Binance is, as data: hosts, sockets, limits, and how its three products differ."""

from collections.abc import Mapping

import msgspec

from oneprice.model.instrument import Payoff
from oneprice.venues.binance.refusals import REFUSED
from oneprice.venues.contract import Limit, Ping, SocketSpec, Spec

VENUE = "binance"
DAY_MS = 86_400_000
MINUTE_MS = 60_000


class Product(msgspec.Struct, frozen=True, kw_only=True):
    """How one product is spoken to; the dialect's code is the same for all of them."""

    market: str
    payoff: Payoff
    rest: str  # host key
    api: str  # first part of every public path
    public: str  # socket of depth and bookTicker
    market_data: str  # socket of trades and mark prices
    trades: str  # the stream of trades
    mark: str  # the stream of marks, "" where there is none
    rule: str  # how a depth event follows the one before: span or linked
    weight: str  # bucket of request weight
    snapshot_weight: int  # of a depth request with limit=1000
    info_weight: int  # of exchangeInfo, however many symbols it is about
    leftovers: bool = False  # levels off today's grid are ordinary, see evening
    named: bool = False  # whether exchangeInfo can be asked for some symbols alone
    intervals_path: str = ""  # where funding intervals other than eight hours are told


class Contracts(msgspec.Struct, frozen=True, kw_only=True):
    """What only futures have. Each call is a path and its weight."""

    listen_key: str
    balances: tuple[str, int]
    positions: tuple[str, int]
    config: tuple[str, int] | None  # leverage by symbol; None: the positions tell it
    mode: tuple[str, int]  # one position a symbol, or two
    leverage: str
    income: tuple[str, int]
    batch: str
    countdown: tuple[str, int]


class Entry(msgspec.Struct, frozen=True, kw_only=True):
    """How orders and accounts of one product are spoken to."""

    orders: str  # socket of order.place, "" where there is none
    user: str  # socket of the user's events
    order_path: str
    open_path: str  # GET: what is open
    open_weight: int  # of it, without a symbol
    cancel_all_path: str
    fills_path: str
    fills_weight: int
    query_weight: int
    fee_path: str
    place_cost: tuple[tuple[str, int], ...]
    cancel_cost: tuple[tuple[str, int], ...]
    post_only: str  # time in force that only makes, "" where an order type says so
    answer: str  # newOrderRespType
    id_pattern: str  # what a client order id may look like
    contracts: Contracts | None = None


PRODUCTS: Mapping[str, Product] = {
    "spot": Product(
        market="spot",
        payoff=Payoff.SPOT,
        rest="spot_rest",
        api="/api/v3",
        public="spot_public",
        market_data="spot_public",
        trades="trade",
        mark="",
        rule="span",
        weight="spot_weight",
        snapshot_weight=50,
        info_weight=20,
        leftovers=True,
        named=True,
    ),
    "usdm": Product(
        market="usdm",
        payoff=Payoff.LINEAR,
        rest="usdm_rest",
        api="/fapi/v1",
        public="usdm_public",
        market_data="usdm_market",
        trades="aggTrade",
        mark="markPrice@1s",
        rule="linked",
        weight="futures_weight",
        snapshot_weight=20,
        info_weight=1,
        intervals_path="/fapi/v1/fundingInfo",
    ),
    "coinm": Product(
        market="coinm",
        payoff=Payoff.INVERSE,
        rest="coinm_rest",
        api="/dapi/v1",
        public="coinm_public",
        market_data="coinm_public",
        trades="aggTrade",
        mark="markPrice@1s",
        rule="linked",
        weight="futures_weight",
        snapshot_weight=20,
        info_weight=1,
    ),
}

# Weight of a placement that succeeds is 0 on spot since 2026-04-02; one that fails costs 1, and
# what will fail is not known before, so 1 is planned for.
ENTRIES: Mapping[str, Entry] = {
    "spot": Entry(
        orders="spot_orders",
        user="spot_user",
        order_path="/api/v3/order",
        open_path="/api/v3/openOrders",
        open_weight=80,
        cancel_all_path="/api/v3/openOrders",
        fills_path="/api/v3/myTrades",
        fills_weight=20,
        query_weight=4,
        fee_path="/api/v3/account/commission",
        place_cost=(("spot_weight", 1), ("spot_orders_10s", 1), ("spot_orders_1d", 1)),
        cancel_cost=(("spot_weight", 1),),
        post_only="",
        answer="FULL",  # carries the fills with their ids: the hedge need not wait
        id_pattern=r"[a-zA-Z0-9_-]{1,36}",
    ),
    "usdm": Entry(
        orders="usdm_orders",
        user="usdm_user",
        order_path="/fapi/v1/order",
        open_path="/fapi/v1/openOrders",
        open_weight=40,
        cancel_all_path="/fapi/v1/allOpenOrders",
        fills_path="/fapi/v1/userTrades",
        fills_weight=5,
        query_weight=1,
        fee_path="/fapi/v1/commissionRate",
        place_cost=(("futures_orders_10s", 1), ("futures_orders_1m", 1)),
        cancel_cost=(("futures_weight", 1),),
        post_only="GTX",
        answer="RESULT",  # the final state of IOC and FOK orders
        id_pattern=r"[.A-Z:/a-z0-9_-]{1,36}",
        contracts=Contracts(
            listen_key="/fapi/v1/listenKey",
            balances=("/fapi/v3/balance", 5),
            positions=("/fapi/v3/positionRisk", 5),
            config=("/fapi/v1/symbolConfig", 5),
            mode=("/fapi/v1/positionSide/dual", 30),
            leverage="/fapi/v1/leverage",
            income=("/fapi/v1/income", 30),
            batch="/fapi/v1/batchOrders",
            countdown=("/fapi/v1/countdownCancelAll", 10),
        ),
    ),
    # Paths and weights of COIN-M are those publicly known of its own API; it is spoken to by REST.
    "coinm": Entry(
        orders="",
        user="coinm_user",
        order_path="/dapi/v1/order",
        open_path="/dapi/v1/openOrders",
        open_weight=40,
        cancel_all_path="/dapi/v1/allOpenOrders",
        fills_path="/dapi/v1/userTrades",
        fills_weight=20,
        query_weight=1,
        fee_path="/dapi/v1/commissionRate",
        place_cost=(("futures_orders_10s", 1), ("futures_orders_1m", 1)),
        cancel_cost=(("futures_weight", 1),),
        post_only="GTX",
        answer="RESULT",
        id_pattern=r"[.A-Z:/a-z0-9_-]{1,36}",
        contracts=Contracts(
            listen_key="/dapi/v1/listenKey",
            balances=("/dapi/v1/balance", 1),
            positions=("/dapi/v1/positionRisk", 1),
            config=None,
            mode=("/dapi/v1/positionSide/dual", 30),
            leverage="/dapi/v1/leverage",
            income=("/dapi/v1/income", 20),
            batch="/dapi/v1/batchOrders",
            countdown=("/dapi/v1/countdownCancelAll", 10),
        ),
    ),
}

# Spot pings every 20 s and waits one minute; futures every three minutes and ten. Our own ping
# frames only prove that the line lives; they count as messages, so they are rare.
_SPOT_PING = Ping(payload=b"", every_ms=20_000, silence_ms=60_000)
_FUTURES_PING = Ping(payload=b"", every_ms=30_000, silence_ms=90_000)


# Spot allows 300 attempts to connect in five minutes; half of them are for us. How many futures
# allow is not documented: the same number is assumed.
_CONNECT: Mapping[str, tuple[tuple[str, int], ...]] = {
    "spot": (("connects:spot", 1),),
    "usdm": (("connects:usdm", 1),),
    "coinm": (("connects:coinm", 1),),
}


def _public(name: str, market: str, host: str, path: str) -> SocketSpec:
    spot = market == "spot"
    return SocketSpec(
        name=name,
        role="public",
        market=market,
        host=host,
        path=path,
        ping=_SPOT_PING if spot else _FUTURES_PING,
        topics_per_request=50,
        topics_max=1024,
        requests_per_second=4.0 if spot else 8.0,  # of 5 and 10; our pongs count too
        life_ms=DAY_MS,
        connect_cost=_CONNECT[market],
    )


_SOCKETS = (
    _public("spot_public", "spot", "spot_ws", "/stream"),
    _public("usdm_public", "usdm", "usdm_ws", "/public/stream"),
    _public("usdm_market", "usdm", "usdm_ws", "/market/stream"),
    _public("coinm_public", "coinm", "coinm_ws", "/stream"),
    SocketSpec(
        name="spot_orders",
        role="orders",
        market="spot",
        host="spot_wsapi",
        path="/ws-api/v3",
        ping=_SPOT_PING,
        requests_per_second=50.0,  # the order buckets bind first
        connect_cost=(*_CONNECT["spot"], ("spot_weight", 2)),
        life_ms=DAY_MS,
    ),
    SocketSpec(
        name="spot_user",
        role="private",
        market="spot",
        host="spot_wsapi",
        path="/ws-api/v3",
        ping=_SPOT_PING,
        connect_cost=(*_CONNECT["spot"], ("spot_weight", 2)),
        life_ms=DAY_MS,
        needs_login=True,
    ),
    SocketSpec(
        name="usdm_orders",
        role="orders",
        market="usdm",
        host="usdm_wsapi",
        path="/ws-fapi/v1",
        ping=_FUTURES_PING,
        requests_per_second=50.0,
        connect_cost=(*_CONNECT["usdm"], ("futures_weight", 5)),
        life_ms=DAY_MS,
    ),
    *(
        SocketSpec(
            name=f"{market}_user",
            role="private",
            market=market,
            host=f"{market}_ws",
            path=path,
            ping=_FUTURES_PING,
            connect_cost=_CONNECT[market],
            life_ms=DAY_MS,
            needs_login=True,
            door="key",
        )
        for market, path in (("usdm", "/private/ws/{key}"), ("coinm", "/ws/{key}"))
    ),
)


def _limit(bucket: str, count: int, per_ms: int, header: str = "") -> Limit:
    return Limit(bucket=bucket, count=count, per_ms=per_ms, window="calendar", used_header=header)


# Windows are calendar intervals. The counts of orders differ between accounts: these are the
# documented ones. USD-M and COIN-M share weight and orders since 2026-06-30.
_LIMITS = (
    _limit("spot_weight", 6_000, MINUTE_MS, "x-mbx-used-weight-1m"),
    _limit("spot_orders_10s", 50, 10_000, "x-mbx-order-count-10s"),
    _limit("spot_orders_1d", 160_000, DAY_MS, "x-mbx-order-count-1d"),
    _limit("futures_weight", 2_400, MINUTE_MS, "x-mbx-used-weight-1m"),
    _limit("futures_orders_10s", 300, 10_000, "x-mbx-order-count-10s"),
    _limit("futures_orders_1m", 1_200, MINUTE_MS, "x-mbx-order-count-1m"),
    _limit("funding_info", 500, 5 * MINUTE_MS),
    *(_limit(f"connects:{market}", 150, 5 * MINUTE_MS) for market in PRODUCTS),
)

SPEC = Spec(
    name=VENUE,
    markets=("spot", "usdm", "coinm"),
    hosts={
        "live": {
            "spot_rest": "https://api.binance.com",
            "spot_ws": "wss://stream.binance.com:9443",
            "spot_wsapi": "wss://ws-api.binance.com:443",
            "usdm_rest": "https://fapi.binance.com",
            "usdm_ws": "wss://fstream.binance.com",
            "usdm_wsapi": "wss://ws-fapi.binance.com",
            "coinm_rest": "https://dapi.binance.com",
            "coinm_ws": "wss://dstream.binance.com",
        },
        # Whether the futures testnet routes /public, /market, /private is not documented.
        "testnet": {
            "spot_rest": "https://testnet.binance.vision",
            "spot_ws": "wss://stream.testnet.binance.vision",
            "spot_wsapi": "wss://ws-api.testnet.binance.vision",
            "usdm_rest": "https://demo-fapi.binance.com",
            "usdm_ws": "wss://fstream.binancefuture.com",
            "usdm_wsapi": "wss://testnet.binancefuture.com",
            "coinm_rest": "https://testnet.binancefuture.com",
            "coinm_ws": "wss://dstream.binancefuture.com",
        },
        "demo": {
            "spot_rest": "https://demo-api.binance.com",
            "spot_ws": "wss://demo-stream.binance.com",
            "spot_wsapi": "wss://demo-ws-api.binance.com",
        },
    },
    sockets=_SOCKETS,
    limits=_LIMITS,
    refusals=REFUSED,
    features=frozenset(
        (
            "books",
            "book_sequence",
            "trades",
            "touch",
            "mark",
            "index",
            "funding",
            "funding_history",
            "mark_history",
            "index_history",
            "candles",
            "candle_history",
            "order_entry_rest",
            "order_entry_socket",
            "amend",
            "cancel",
            "cancel_all",
            "batch",
            "post_only",
            "fill_or_kill",
            "reduce_only",
            "self_trade_prevention",
            "dead_man_switch",  # of futures; spot has none
            "order_stream",
            "fill_stream",
            "position_stream",
            "balance_stream",
            "order_query",
            "account_query",
            "fill_query",
            "statement",
            "fee_query",
            "funding_booked",
            "position_mode",
            "leverage",
            "key_query",
        )
    ),
)
