"""Logins, subscriptions and pongs: four spellings of the same few answers.

Source: Bybit v5 docs, "WebSocket Connect" and "WebSocket Trade Guidelines".
"""

from oneprice.venues.bybit.wire import Envelope
from oneprice.venues.contract import Ack

_ALREADY_IN = 20001


def control(socket: str, message: Envelope) -> Ack:
    """The meaning of a frame without a topic; ValueError for an operation we never use.

    Public spot and linear answer a ping with op "ping", the other sockets with "pong".
    """
    said = message.text or message.ret_msg
    ok = message.success is True or message.ret_code in (0, _ALREADY_IN)
    request_id = message.request_id or message.req_id
    match message.op:
        case "auth":
            return Ack(socket=socket, kind="login", ok=ok, request_id=request_id, text=said)
        case "subscribe":
            return Ack(socket=socket, kind="subscribe", ok=ok, request_id=request_id, text=said)
        case "unsubscribe":
            return Ack(socket=socket, kind="unsubscribe", ok=ok, request_id=request_id, text=said)
        case "ping" | "pong":
            return Ack(socket=socket, kind="pong", request_id=request_id)
    raise ValueError(f"unknown operation {message.op[:30]!r}")
