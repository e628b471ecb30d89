"""How we stand with the venue: what our key may do, position mode, leverage, dead man's switch.

Source: Binance docs, "Get API Key Permission", "Change Position Mode", "Change Initial Leverage",
"Auto-Cancel All Open Orders". Where an environment has no /sapi, the account itself is asked.
"""

from collections.abc import Sequence
from typing import Literal
from urllib.parse import quote

import msgspec

from oneprice.model.commands import Priority, QueryKey, SetLeverage, SetPositionMode
from oneprice.model.events import AnyEvent, KeyReported, LeverageReported, PositionModeReported
from oneprice.model.instrument import Instrument, instrument_id
from oneprice.model.units import InstrumentId, Nanos
from oneprice.venues.binance.answers import Reply, rejected
from oneprice.venues.binance.facts import ENTRIES, PRODUCTS, VENUE, Contracts
from oneprice.venues.binance.numbers import UNREADABLE, decimal
from oneprice.venues.binance.private_frames import AccountRights, KeyRights, LeverageSet
from oneprice.venues.binance.refusals import Verdict
from oneprice.venues.contract import Request

KINDS = ("rights", "mode", "leverage", "dead_man")
BOUND = "not told"  # a key that is bound to addresses; the venue does not say which
_RIGHTS, _ACCOUNT_RIGHTS = "rights:spot:key", "rights:spot:account"


def rights_request(command: QueryKey) -> Request:
    return _get(_RIGHTS, "/sapi/v1/account/apiRestrictions", ("spot_weight", 1), command.priority)


def rights_of_account() -> Request:
    """The second question, where the first has no answer: testnets have no /sapi."""
    return _get(_ACCOUNT_RIGHTS, "/api/v3/account", ("spot_weight", 20), Priority.DATA)


def mode_request(command: SetPositionMode) -> Request:
    """For all symbols of both kinds of futures; ValueError for spot and for a single symbol."""
    contracts = _contracts(command.market)
    if command.symbol:
        raise ValueError(f"position mode: one for all symbols, found {command.symbol!r}")
    dual = "true" if command.mode == "hedge" else "false"
    return _post(
        tag=f"mode:{command.market}:{command.mode}",
        market=command.market,
        path=contracts.mode[0],
        query=f"dualSidePosition={dual}",
        weight=1,
        priority=command.priority,
    )


def leverage_request(command: SetLeverage, item: Instrument) -> Request:
    """ValueError for leverage that is no whole number, and for spot."""
    whole = int(command.leverage)
    if whole != command.leverage or whole < 1:
        raise ValueError(f"leverage: expected a whole number, found {command.leverage}")
    return _post(
        tag=f"leverage:{item.market}:{item.symbol}",
        market=item.market,
        path=_contracts(item.market).leverage,
        query=f"symbol={quote(item.symbol)}&leverage={whole}",
        weight=1,
        priority=command.priority,
    )


def dead_man(item: Instrument, window_ms: int) -> Request:
    """Cancel all of one symbol unless this is asked again within the window."""
    path, weight = _contracts(item.market).countdown
    return _post(
        tag=f"dead_man:{item.market}:{item.symbol}",
        market=item.market,
        path=path,
        query=f"symbol={quote(item.symbol)}&countdownTime={window_ms}",
        weight=weight,
        priority=Priority.CANCEL,
    )


def _contracts(market: str) -> Contracts:
    contracts = ENTRIES[market].contracts if market in ENTRIES else None
    if contracts is None:
        raise ValueError(f"market {market!r}: only futures have position mode and leverage")
    return contracts


def _get(tag: str, path: str, cost: tuple[str, int], priority: Priority) -> Request:
    host = PRODUCTS["spot"].rest
    return Request(tag=tag, host=host, path=path, signed=True, cost=(cost,), priority=priority)


def _post(
    *, tag: str, market: str, path: str, query: str, weight: int, priority: Priority
) -> Request:
    return Request(
        tag=tag,
        host=PRODUCTS[market].rest,
        method="POST",
        path=path,
        query=query,
        signed=True,
        cost=(("futures_weight", weight),),
        priority=priority,
    )


def answered(reply: Reply, at: Nanos) -> tuple[Sequence[AnyEvent], Sequence[Request]]:
    """Events of an answer, and the question that it makes necessary."""
    kind, market, rest = reply.tag.split(":", 2)
    if reply.verdict is not Verdict.DONE:
        if reply.tag == _RIGHTS and reply.status and reply.code == 0:
            return (), (rights_of_account(),)  # no answer of an API at all: there is none
        if kind == "mode" and reply.word == "not_modified":
            return (position_mode(market, dual=rest == "hedge", at=at),), ()
        reason = f"{reply.tag}: {reply.text or 'no answer'}"
        return (rejected(PRODUCTS[market].rest, reason, b"", at),), ()
    try:
        return _done(kind, market, rest, reply, at), ()
    except UNREADABLE as error:
        reason = f"{reply.tag}: {error}"
        return (rejected(PRODUCTS[market].rest, reason, reply.body, at),), ()


def _done(kind: str, market: str, rest: str, reply: Reply, at: Nanos) -> Sequence[AnyEvent]:
    match kind:
        case "mode":
            return (position_mode(market, dual=rest == "hedge", at=at),)
        case "leverage":
            found = msgspec.json.decode(reply.body, type=LeverageSet)
            if found.symbol != rest:
                raise ValueError(f"symbol: expected {rest}, found {found.symbol[:30]!r}")
            return (leverage(market, found.symbol, str(found.leverage), "", at),)
        case "rights" if rest == "key":
            key = msgspec.json.decode(reply.body, type=KeyRights)
            report = KeyReported(
                at=at,
                venue=VENUE,
                may_trade=key.enableSpotAndMarginTrading or key.enableFutures,
                may_withdraw=key.enableWithdrawals,
                addresses=(BOUND,) if key.ipRestrict else (),
            )
            return (report,)
        case "rights":
            of_account = msgspec.json.decode(reply.body, type=AccountRights)
            report = KeyReported(
                at=at,
                venue=VENUE,
                may_trade=of_account.canTrade,
                may_withdraw=of_account.canWithdraw,
            )
            return (report,)
    return ()


def position_mode(market: str, *, dual: bool, at: Nanos) -> PositionModeReported:
    mode: Literal["one_way", "hedge"] = "hedge" if dual else "one_way"
    return PositionModeReported(at=at, venue=VENUE, market=market, mode=mode)


def leverage(market: str, symbol: str, text: str, margin: str, at: Nanos) -> LeverageReported:
    """`margin` as the venue spells it: CROSSED or cross, ISOLATED or isolated."""
    name: InstrumentId = instrument_id(VENUE, market, symbol)
    known: dict[str, Literal["cross", "isolated"]] = {
        "crossed": "cross",
        "cross": "cross",
        "isolated": "isolated",
    }
    return LeverageReported(
        at=at,
        instrument=name,
        leverage=decimal(text),
        margin=known.get(margin.lower(), ""),
    )
