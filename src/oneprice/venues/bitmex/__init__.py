"""BitMEX: inverse, quanto and linear contracts in one market, told by tables and their diffs.

Source: protocol document "BitMEX API v1" (swagger 1.2.0 and its sections 1 to 14). The exchange
announced that it closes on 2026-09-23 04:00 UTC: the dialect serves recordings, the twin and the
contract mathematics; `Spec.closed` refuses live trading.
"""

from oneprice.venues.bitmex.codes import REFUSALS
from oneprice.venues.contract import Limit, Ping, SocketSpec, Spec

NAME = "bitmex"
MARKET = "derivatives"

# "If nothing was received for 5 s send text ping; expect pong within 5 s" (section 10).
PING = Ping(b"ping", every_ms=5000, silence_ms=12_000)

# The welcome message announced 40, later 60, elsewhere 720 connects an hour: the least is taken.
_CONNECTS = Limit(bucket="connects", count=40, per_ms=3_600_000)

# About three attempts to connect a second, by one source.
_HANDSHAKES = Limit(bucket="handshakes", count=3, per_ms=1000)

# The reset header counts seconds, which a Limit cannot say; what is left is enough to know.
_LEFT = "x-ratelimit-remaining"


def _socket(name: str, *, private: bool) -> SocketSpec:
    return SocketSpec(
        name=name,
        role="private" if private else "public",
        market="" if private else MARKET,
        host="ws",
        path="/realtime",
        ping=PING,
        topics_per_request=20,  # no limit is named; an ack of each echoes the whole request
        topics_max=200,
        connect_cost=(("connects", 1), ("handshakes", 1)),
        needs_login=private,
    )


SPEC = Spec(
    name=NAME,
    markets=(MARKET,),
    hosts={
        "live": {"rest": "https://www.bitmex.com", "ws": "wss://ws.bitmex.com"},
        "testnet": {"rest": "https://testnet.bitmex.com", "ws": "wss://ws.testnet.bitmex.com"},
    },
    sockets=(_socket("public", private=False), _socket("private", private=True)),
    limits=(
        Limit(bucket="rest", count=120, per_ms=60_000, left_header=_LEFT),
        Limit(bucket="public", count=30, per_ms=60_000, left_header=_LEFT),
        Limit(bucket="orders", count=10, per_ms=1000, left_header="x-ratelimit-remaining-1s"),
        _CONNECTS,
        _HANDSHAKES,
    ),
    refusals=REFUSALS,
    tells_adl=False,  # it says Liquidation of both (section 11)
    # No batch: the bulk requests for new orders were withdrawn, only cancels go together.
    features=frozenset(
        (
            "books",
            "trades",
            "touch",
            "mark",
            "index",
            "funding",
            "funding_next",
            "funding_history",
            "index_history",
            "candles",
            "candle_history",
            "order_entry_rest",
            "amend",
            "cancel",
            "cancel_all",
            "post_only",
            "fill_or_kill",
            "reduce_only",
            "dead_man_switch",
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
            "leverage",
            "key_query",
        )
    ),
    closed="BitMEX closed on 2026-09-23 04:00 UTC: nobody can trade there any more",
)
