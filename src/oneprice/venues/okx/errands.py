"""Single questions about the account: the key, modes, leverage, the dead man's switch.

Source: API v5, "Get account configuration", "Set position mode", "Set leverage", "Cancel All
After", "Get account rate limit"; and the open orders of one instrument, to cancel them all,
because the venue has no order for that.
"""

from collections.abc import Callable, Mapping, Sequence

import msgspec

from oneprice.model.commands import (
    CancelAll,
    Priority,
    QueryKey,
    SetLeverage,
    SetPositionMode,
)
from oneprice.model.events import KeyReported, PositionModeReported
from oneprice.model.instrument import Instrument
from oneprice.model.units import InstrumentId, Nanos, OrderId
from oneprice.venues.contract import Ack, Answer, Limit, Output, Request
from oneprice.venues.okx import NAME, SPEC
from oneprice.venues.okx import private_frames as rows
from oneprice.venues.okx.frames import RAWS, rows_of
from oneprice.venues.okx.ids import order_id
from oneprice.venues.okx.inquiry import learn, leverage_of
from oneprice.venues.okx.listing import identity_of
from oneprice.venues.okx.orders import BATCH_MAX, OkxSettings, Standing, leverage_text
from oneprice.venues.okx.rest import Failed, asked, get, paused, settled, told

_PAGE_ROWS = 100
_MODES: Mapping[str, str] = {"one_way": "net_mode", "hedge": "long_short_mode"}
_JSON = (("Content-Type", "application/json"),)
_KEEP_ALIVE_MS_MIN = 1_100  # the venue takes one call a second

# Given an instrument and (the venue's id, ours or "") of some of its orders.
Cancel = Callable[[Instrument, Sequence[tuple[str, OrderId]], Priority], Request]


def post(path: str, body: object, tag: str, bucket: str, priority: Priority) -> Request:
    """One private order to the venue over HTTP."""
    return Request(
        tag=tag,
        host="rest",
        method="POST",
        path=path,
        body=body if isinstance(body, bytes) else msgspec.json.encode(body),
        headers=_JSON,
        signed=True,
        cost=((bucket, 1),),
        priority=priority,
    )


class Errands:
    """Asks single questions. `cancel` writes the request that ends named orders."""

    def __init__(
        self,
        listed: Mapping[InstrumentId, Instrument],
        settings: OkxSettings,
        standing: Standing,
        cancel: Cancel,
    ) -> None:
        self._listed = listed
        self._settings = settings
        self._standing = standing
        self._cancel = cancel
        self._next: list[Request] = []

    def follow_ups(self) -> list[Request]:
        out, self._next = self._next, []
        return out

    # Asking -----------------------------------------------------------------------------

    def key(self, command: QueryKey) -> Sequence[Request]:
        rank = command.priority
        return (
            asked(get("/api/v5/account/config", {}, "key:config", "config", rank)),
            asked(get("/api/v5/trade/account-rate-limit", {}, "key:rate", "rate_limit", rank)),
        )

    def mode(self, command: SetPositionMode) -> Request:
        body = {"posMode": _MODES[command.mode]}
        path, tag = "/api/v5/account/set-position-mode", f"mode:{command.market}"
        return post(path, body, tag, "set_mode", command.priority)

    def leverage(self, command: SetLeverage, item: Instrument) -> Sequence[Request]:
        """One request, or one for each side where sides have a margin of their own."""
        margin = self._settings.margin
        sides = ("long", "short") if self._standing.hedges and margin == "isolated" else ("",)
        out = []
        for side in sides:
            body = {
                "instId": item.symbol,
                "lever": leverage_text(command.leverage),
                "mgnMode": margin,
            }
            body |= {"posSide": side} if side else {}
            path, tag = "/api/v5/account/set-leverage", f"leverage:{item.id}"
            out.append(post(path, body, tag, "set_leverage", command.priority))
        return out

    def dead_man(self) -> Sequence[tuple[int, Request]]:
        """The switch, to be set anew so often; nothing where it is off."""
        wait_ms = self._settings.dead_man_ms
        if not wait_ms:
            return ()
        body = {"timeOut": str(wait_ms // 1_000)}
        body |= {"tag": self._settings.tag} if self._settings.tag else {}
        path = "/api/v5/trade/cancel-all-after"
        request = post(path, body, "dead_man", "dead_man", Priority.CANCEL)
        return ((max(_KEEP_ALIVE_MS_MIN, wait_ms // 5), request),)

    def cancel_all(self, command: CancelAll, item: Instrument) -> Request:
        """The list of what is open; the cancels follow from its answer."""
        return self._open_ones(item, "", command.priority)

    def _open_ones(self, item: Instrument, after: str, priority: Priority) -> Request:
        # By name alone: spot on margin is of another kind there.
        params = {"instId": item.symbol, "limit": str(_PAGE_ROWS), "after": after}
        tag, path = f"cancel_all:{item.id}", "/api/v5/trade/orders-pending"
        return asked(get(path, params, tag, "pending", priority))

    # Answers ----------------------------------------------------------------------------

    def answered(self, answer: Answer, at: Nanos) -> list[Output]:
        """ValueError and its like where an answer cannot be understood."""
        verb, _, subject = answer.tag.partition(":")
        reply = settled(answer)
        if isinstance(reply, Failed):
            return [told(answer, reply, at), *paused(reply, "", _bucket(answer.tag), at)]
        match verb:
            case "key":
                return self._key(subject, reply.data, at)
            case "mode":
                return self._mode(reply.data, at)
            case "leverage":
                found = rows_of(reply.data, rows.LeverageRow)
                return [leverage_of(row, subject, at) for row in found]
            case "cancel_all":
                return self._open_orders(subject, reply.data)
            case "dead_man":
                return []
        raise ValueError("answer to no question")

    def _key(self, what: str, data: msgspec.Raw, at: Nanos) -> list[Output]:
        if what == "rate":
            stated = rows_of(data, rows.AllowanceRow)
            count = stated[0].accRateLimit if stated else ""
            if not (count.isascii() and count.isdigit() and int(count)):
                return []  # tiers that are not counted have no number
            limit = Limit(bucket="account_orders", count=int(count), per_ms=2_000)
            return [Ack(socket="", kind="limit", bucket=limit.bucket, limit=limit)]
        found = rows_of(data, rows.ConfigRow)
        if not found:
            raise ValueError("data: expected the account's configuration, found nothing")
        learn(self._standing, found[0])
        may = found[0].perm.split(",")
        return [
            KeyReported(
                at=at,
                venue=NAME,
                may_trade="trade" in may,
                may_withdraw="withdraw" in may,
                addresses=tuple(found[0].ip.split(",")) if found[0].ip else (),
            )
        ]

    def _mode(self, data: msgspec.Raw, at: Nanos) -> list[Output]:
        """The venue keeps one mode for all derivatives."""
        found = rows_of(data, rows.ConfigRow)
        if not found or found[0].posMode not in _MODES.values():
            raise ValueError("posMode: expected net_mode or long_short_mode, found neither")
        self._standing.mode = found[0].posMode
        mode = self._standing.word
        return [
            PositionModeReported(at=at, venue=NAME, market=market, mode=mode)
            for market in SPEC.markets
            if market != "spot"
        ]

    def _open_orders(self, name: InstrumentId, data: msgspec.Raw) -> list[Output]:
        item = self._listed.get(name)
        if item is None:
            raise ValueError(f"instrument {name!r} was never listed")
        page = [rows.ORDER.decode(raw) for raw in RAWS.decode(data)]
        found = [
            (row.ordId, order_id(row.clOrdId))
            for row in page
            if identity_of(row.instType, row.instId) == name
        ]
        for start in range(0, len(found), BATCH_MAX):
            some = found[start : start + BATCH_MAX]
            self._next.append(self._cancel(item, some, Priority.CANCEL))
        if len(page) >= _PAGE_ROWS:
            self._next.append(self._open_ones(item, page[-1].ordId, Priority.CANCEL))
        return []


def _bucket(tag: str) -> str:
    known = {
        "key:config": "config",
        "key:rate": "rate_limit",
        "mode": "set_mode",
        "leverage": "set_leverage",
        "dead_man": "dead_man",
    }
    return known.get(tag) or known.get(tag.partition(":")[0], "pending")
