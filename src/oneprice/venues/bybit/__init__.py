"""Bybit v5: spot, linear and inverse on one unified account.

Facts with their source: Bybit v5 docs, "Integration Guidance", "Rate Limit Rules", "WebSocket
Connect". What the docs leave open stays a setting (`BybitSettings` in trade.py).
"""

from oneprice.venues.bybit.codes import REFUSALS
from oneprice.venues.contract import Limit, Ping, SocketSpec, Spec

NAME = "bybit"
MARKETS = ("spot", "linear", "inverse")
DEPTHS = (1, 50, 200, 1000)  # 500 was withdrawn in September 2025

# The docs advise a ping every 20 s; twice as often costs nothing and finds a dead line sooner.
PING = Ping(b'{"op":"ping"}', every_ms=10_000, silence_ms=25_000)


def pace_of(market: str) -> str:
    """The group of markets that shares one allowance per user."""
    return "spot" if market == "spot" else "derivatives"


def _limit(bucket: str, count: int) -> Limit:
    return Limit(
        bucket=bucket,
        count=count,
        per_ms=1000,
        left_header="x-bapi-limit-status",
        reset_header="x-bapi-limit-reset-timestamp",
    )


# A batch draws on an allowance of its own, by the orders in it.
_PER_SECOND = {
    "create:spot": 20,
    "create:derivatives": 10,
    "amend:spot": 10,
    "amend:derivatives": 10,
    "cancel:spot": 20,
    "cancel:derivatives": 10,
    "cancel_all:spot": 20,
    "cancel_all:derivatives": 10,
    "create_batch:spot": 20,
    "create_batch:derivatives": 10,
    "amend_batch:spot": 20,
    "amend_batch:derivatives": 10,
    "cancel_batch:spot": 20,
    "cancel_batch:derivatives": 10,
    "realtime": 50,
    "history": 50,
    "executions": 50,
    "positions": 50,
    "wallet": 50,
    "log": 25,
    "fees": 5,
    "position_set": 10,
    "dead_man": 5,
    "key": 10,
}

# 500 connections in five minutes per domain are allowed; half of them are for us.
_CONNECT = (("connects", 1),)

SPEC = Spec(
    name=NAME,
    markets=MARKETS,
    hosts={
        "live": {
            "rest": "https://api.bybit.com",
            "ws": "wss://stream.bybit.com",
            "ws_private": "wss://stream.bybit.com",
        },
        "testnet": {
            "rest": "https://api-testnet.bybit.com",
            "ws": "wss://stream-testnet.bybit.com",
            "ws_private": "wss://stream-testnet.bybit.com",
        },
        # Paper money at live prices: public streams are the live ones, the trade socket answers
        # 404, so orders must go by REST (`order_entry`); keys are its own.
        "demo": {
            "rest": "https://api-demo.bybit.com",
            "ws": "wss://stream.bybit.com",
            "ws_private": "wss://stream-demo.bybit.com",
        },
    },
    sockets=(
        *(
            SocketSpec(
                name=market,
                role="public",
                market=market,
                host="ws",
                path=f"/v5/public/{market}",
                ping=PING,
                topics_per_request=10,  # stated for spot; harmless elsewhere
                args_chars_max=21_000,
                connect_cost=_CONNECT,
            )
            for market in MARKETS
        ),
        SocketSpec(
            name="private",
            role="private",
            market="",
            host="ws_private",
            path="/v5/private",
            ping=PING,
            connect_cost=_CONNECT,
            needs_login=True,
        ),
        SocketSpec(
            name="trade",
            role="orders",
            market="",
            host="ws_private",
            path="/v5/trade",
            ping=PING,
            requests_per_second=200.0,  # the buckets below bind first; 3000 per IP
            connect_cost=_CONNECT,
            needs_login=True,
        ),
    ),
    limits=(
        Limit(bucket="ip", count=600, per_ms=5000),
        Limit(bucket="connects", count=250, per_ms=300_000),
        *(_limit(bucket, count) for bucket, count in _PER_SECOND.items()),
    ),
    refusals=REFUSALS,
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
            "dead_man_switch",  # for accounts that the venue has enabled for it
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
    clock_ahead_ms_max=900,  # a stamp 1000 ms ahead is refused whatever the window
)
