"""How we stand with the venue: what our key may do, position mode, leverage, dead man's switch.

Source: Bybit v5 docs, "Get API Key Information", "Switch Position Mode", "Set Leverage", "Set
Disconnect Cancel All".
"""

import re
from collections.abc import Sequence

import msgspec

from oneprice.model.commands import Priority, QueryKey, SetLeverage, SetPositionMode
from oneprice.model.events import AnyEvent, KeyReported, LeverageReported, PositionModeReported
from oneprice.model.instrument import Instrument, instrument_id
from oneprice.model.units import InstrumentId, Nanos, plain
from oneprice.venues.bybit import NAME
from oneprice.venues.bybit.orders import posted
from oneprice.venues.bybit.rest import get
from oneprice.venues.bybit.wire import KEY, Reply, decimal
from oneprice.venues.contract import Request

_MODES = {"one_way": 0, "hedge": 3}
_TRADES = (("ContractTrade", "Order"), ("Spot", "SpotTrade"), ("Derivatives", "DerivativesTrade"))
_WHEN = re.compile(r"(\d{4})-(\d\d)-(\d\d)T(\d\d):(\d\d):(\d\d)Z")
_ENCODER = msgspec.json.Encoder()
BUCKETS = {
    "key": "key",
    "mode": "position_set",
    "leverage": "position_set",
    "dead_man": "dead_man",
}


def key_question(command: QueryKey) -> Request:
    request = get("/v5/user/query-api", {}, "key", "key", command.priority)
    return msgspec.structs.replace(request, signed=True)


def mode_request(command: SetPositionMode) -> Request:
    """For one symbol, or for all of a coin; ValueError where the venue has no such switch."""
    if command.market not in ("linear", "inverse"):
        raise ValueError(f"position mode: expected linear or inverse, found {command.market!r}")
    if command.symbol:
        where = {"symbol": command.symbol}
    elif command.market == "linear":
        where = {"coin": "USDT"}
    else:
        raise ValueError("position mode of inverse contracts: name a symbol")
    body = _ENCODER.encode({"category": command.market, **where, "mode": _MODES[command.mode]})
    tag = f"mode:{command.market}:{command.mode}:{command.symbol}"
    return posted(tag, "/v5/position/switch-mode", body, "position_set", command.priority)


def leverage_request(command: SetLeverage, item: Instrument) -> Request:
    if not item.is_derivative:
        raise ValueError(f"{item.id}: spot has no leverage here")
    text = plain(command.leverage)
    both = {"buyLeverage": text, "sellLeverage": text}
    body = _ENCODER.encode({"category": item.market, "symbol": item.symbol, **both})
    tag = f"leverage:{text}:{item.id}"
    return posted(tag, "/v5/position/set-leverage", body, "position_set", command.priority)


def dead_man(window_ms: int) -> Sequence[Request]:
    """Arm the switch for derivatives and spot; only accounts the venue enabled have it."""
    out = []
    for product in ("DERIVATIVES", "SPOT"):
        body = _ENCODER.encode({"product": product, "timeWindow": window_ms // 1000})
        path, tag = "/v5/order/disconnected-cancel-all", f"dead_man:{product}"
        out.append(posted(tag, path, body, "dead_man", Priority.DATA))
    return out


def done(tag: str, reply: Reply | None, at: Nanos) -> Sequence[AnyEvent]:
    """What an agreed request means; None as a reply: the venue had it so already."""
    verb, _, rest = tag.partition(":")
    match verb:
        case "key" if reply is not None:
            return (_key(reply, at),)
        case "mode":
            market, mode, symbol = rest.split(":", 2)
            report = PositionModeReported(
                at=at,
                venue=NAME,
                market=market,
                mode=mode,  # type: ignore[arg-type]  # it was ours when the tag was made
                symbol=symbol,
            )
            return (report,)
        case "leverage":
            text, _, name = rest.partition(":")
            return (leverage(name, text, at),)
    return ()


def leverage(name: InstrumentId, text: str, at: Nanos, mode: str = "") -> LeverageReported:
    """`mode` is the margin mode of the whole account, "" where it was not asked."""
    return LeverageReported(
        at=at,
        instrument=name,
        leverage=decimal(text),
        margin="" if not mode else "isolated" if mode == "ISOLATED_MARGIN" else "cross",
    )


def position_mode(market: str, symbol: str, index: int, at: Nanos) -> PositionModeReported:
    name = instrument_id(NAME, market, symbol)
    if index not in (0, 1, 2):
        raise ValueError(f"positionIdx of {name}: expected 0, 1 or 2, found {index}")
    return PositionModeReported(
        at=at, venue=NAME, market=market, mode="hedge" if index else "one_way", symbol=symbol
    )


def _key(reply: Reply, at: Nanos) -> KeyReported:
    """What is not told counts as permitted."""
    row = KEY.decode(reply.result)
    rights, writes = row.permissions, row.read_only == 0
    trades = rights is None or any(word in rights.get(group, ()) for group, word in _TRADES)
    withdraws = rights is None or "Withdraw" in rights.get("Wallet", ("Withdraw",))
    return KeyReported(
        at=at,
        venue=NAME,
        may_trade=writes and trades,
        may_withdraw=writes and withdraws,
        addresses=tuple(address for address in row.ips if address != "*"),
        expires_ms=_epoch_ms(row.expired_at),
    )


def _epoch_ms(text: str) -> int:
    """The milliseconds of "2027-01-02T03:04:05Z"; 0 for never, which is told as 1970."""
    found = _WHEN.fullmatch(text)
    if found is None:
        if text:
            raise ValueError(f"expiredAt: expected YYYY-MM-DDTHH:MM:SSZ, found {text[:30]!r}")
        return 0
    year, month, day, hours, minutes, seconds = (int(part) for part in found.groups())
    # Days by the civil calendar, years beginning in March (H. Hinnant, "chrono algorithms").
    year -= month <= 2
    shifted = (month + 9) % 12
    days = 365 * year + year // 4 - year // 100 + year // 400 + (153 * shifted + 2) // 5 + day
    return (((days - 719_469) * 24 + hours) * 60 + minutes) * 60_000 + seconds * 1000
