"""Wires: connections in memory, with latency, lost suffixes, resets and refusals.

A wire has two ends, each an asyncio transport; each direction is a lane that delivers in order.
Lanes of different connections overtake each other as their latencies have it. What was written in
one moment arrives as one piece, as it would from a socket. Every lane draws from a stream of its
own: what one connection does never shifts the luck of another.
"""

import asyncio
import contextvars
from collections import deque
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import msgspec

from oneprice.model.units import MICRO, MILLI, SECOND
from oneprice.twin.chance import Chance

if TYPE_CHECKING:
    from oneprice.app.world.loop import VirtualLoop

FIRST_PORT = 20_000
OUR_ADDRESS = "10.0.0.1"


class Weather(msgspec.Struct, frozen=True, kw_only=True):
    """How long one way takes, microseconds."""

    least_us: int = 300
    spread_us: int = 400
    rare: float = 0.0  # the part of pieces that take `rare_us` longer
    rare_us: int = 20_000


class Lane:
    """One direction of a wire: pieces in order, each after its latency."""

    def __init__(self, net: "Net", chance: Chance) -> None:
        self.sent = 0  # bytes
        self._net = net
        self._chance = chance
        self._last = 0
        self._queue: deque[tuple[asyncio.TimerHandle, list[bytes]]] = deque()
        self._open: tuple[int, list[bytes]] | None = None  # the piece of this moment

    def send(self, data: bytes, to: "Wire") -> None:
        self.sent += len(data)
        now = self._net.loop.now_ns
        if self._open is not None and self._open[0] == now:
            self._open[1].append(data)
            return
        piece = [data]
        self._open = (now, piece)
        self._queue.append((self._later(to, self._deliver, to), piece))

    def after(self, to: "Wire", call: Callable[..., None], *args: object) -> None:
        """Something that happens at the other end behind everything sent so far."""
        self._open = None
        self._later(to, call, *args)

    def _later(
        self, to: "Wire", call: Callable[..., None], *args: object
    ) -> asyncio.TimerHandle:
        loop = self._net.loop
        weather = self._net.weather
        delay = weather.least_us + int(weather.spread_us * self._chance.uniform())
        if weather.rare and self._chance.hits(weather.rare):
            delay += weather.rare_us
        extra = self._net.slowness(to)
        if extra:
            delay += int(extra * self._chance.uniform())
        self._last = max(self._last + MICRO, loop.now_ns + delay * MICRO)
        self._net.latest = max(self._net.latest, self._last)
        return loop.call_at(self._last / SECOND, call, *args, context=to.context)

    def _deliver(self, to: "Wire") -> None:
        _, piece = self._queue.popleft()
        if self._open is not None and self._open[1] is piece:
            self._open = None
        to.receive(piece[0] if len(piece) == 1 else b"".join(piece))

    def lose(self, to: "Wire") -> None:
        """The suffix of what is under way is lost, at any byte; what is before it arrives now."""
        under_way = b"".join(b"".join(piece) for _, piece in self._queue)
        for handle, _ in self._queue:
            handle.cancel()
        self._queue.clear()
        self._open = None
        kept = under_way[: self._chance.whole(0, len(under_way))]
        if kept:
            to.receive(kept)


class Wire(asyncio.Transport):
    """One end of a connection."""

    def __init__(self, net: "Net", address: str, names: tuple[object, object]) -> None:
        super().__init__({"peername": names[1], "sockname": names[0]})
        self.address = address
        self.owner = ""
        self.number = 0
        self.client = False
        self.context: contextvars.Context = contextvars.copy_context()
        self.dead = False  # its process was killed: nothing it says leaves
        self._net = net
        self._out: Lane | None = None
        self._peer: Wire | None = None
        self._protocol: asyncio.BaseProtocol | None = None
        self._closing = False  # nothing more is written
        self._lost = False  # the protocol was told
        self._paused = False
        self._held: list[bytes] = []

    def join(self, peer: "Wire", out: Lane, protocol: asyncio.BaseProtocol) -> None:
        self._peer, self._out, self._protocol = peer, out, protocol

    # Writing -------------------------------------------------------------------------------

    def write(self, data: Any) -> None:
        if self._closing or self.dead or not data or self._out is None or self._peer is None:
            return
        self._out.send(bytes(data), self._peer)

    def writelines(self, list_of_data: Any) -> None:
        self.write(b"".join(list_of_data))

    def write_eof(self) -> None:
        self.close()

    def can_write_eof(self) -> bool:
        return False

    def get_write_buffer_size(self) -> int:
        return 0

    def set_write_buffer_limits(self, high: int | None = None, low: int | None = None) -> None:
        return

    # Reading -------------------------------------------------------------------------------

    def receive(self, data: bytes) -> None:
        if self._lost or self.dead:
            return
        if self._paused:
            self._held.append(data)
        elif isinstance(self._protocol, asyncio.Protocol):
            self._protocol.data_received(data)

    def pause_reading(self) -> None:
        self._paused = True

    def resume_reading(self) -> None:
        if not self._paused:
            return
        self._paused = False
        held, self._held = self._held, []
        if held:
            self._net.loop.call_soon(self.receive, b"".join(held), context=self.context)

    def is_reading(self) -> bool:
        return not self._paused and not self._lost

    # Ending --------------------------------------------------------------------------------

    def is_closing(self) -> bool:
        return self._closing

    def close(self) -> None:
        """What was written still arrives, then the other end hears of it."""
        self._end(None)

    def abort(self) -> None:
        self._end(None)

    def _end(self, error: Exception | None) -> None:
        if self._closing:
            return
        self._closing = True
        if self._peer is not None and self._out is not None:
            self._out.after(self._peer, self._peer.ended)
        self._net.loop.call_soon(self.lose, error, context=self.context)

    def ended(self) -> None:
        """The other end is gone, and everything it said has been heard."""
        self._closing = True
        self.lose(None)

    def lose(self, error: Exception | None) -> None:
        """Tell the protocol, once."""
        self._net.forget(self)
        if self._lost:
            return
        self._lost = True
        if self._protocol is not None and not self.dead:
            self._protocol.connection_lost(error)

    def cut(self) -> None:
        """The network breaks: both ends lose a suffix of what was under way, and hear of it."""
        peer, out = self._peer, self._out
        if self._closing or peer is None or out is None or peer._out is None:
            return
        out.lose(peer)
        peer._out.lose(self)
        for end in (self, peer):
            end._closing = True
            reset = ConnectionResetError("connection reset by the world")
            self._net.loop.call_soon(end.lose, reset, context=end.context)

    def kill(self) -> None:
        """The process of this end died: from now on it says and hears nothing."""
        peer, out = self._peer, self._out
        self.dead = self._closing = self._lost = True
        self._net.forget(self)
        if peer is not None and out is not None:
            out.after(peer, peer.ended)

    def set_protocol(self, protocol: asyncio.BaseProtocol) -> None:
        self._protocol = protocol

    def get_protocol(self) -> asyncio.BaseProtocol:
        assert self._protocol is not None
        return self._protocol


class _Socket:
    """As much of a listening socket as a server is asked about."""

    def __init__(self, address: str) -> None:
        host, _, port = address.rpartition(":")
        self._name = (host, int(port)) if port.isdigit() else address

    def getsockname(self) -> object:
        return self._name


class Server:
    """A listener; `close` stops it, connections that exist go on."""

    def __init__(
        self, net: "Net", address: str, factory: Callable[[], asyncio.BaseProtocol]
    ) -> None:
        self.address = address
        self.factory = factory
        self.context = contextvars.copy_context()
        self.sockets = (_Socket(address),)
        self._net = net

    def close(self) -> None:
        self._net.unlisten(self)

    async def wait_closed(self) -> None:
        return

    def is_serving(self) -> bool:
        return self._net.listens(self)


class Net:
    """All listeners and wires of one world, and the weather between them."""

    def __init__(self, seed: int, weather: Weather | None = None) -> None:
        self.weather = weather or Weather()
        self.cuts = self.refusals = self.connects = 0
        self.latest = 0  # when the last piece under way will arrive
        self._seed = seed
        self._loop: VirtualLoop | None = None
        self._servers: dict[str, Server] = {}
        self._ends: dict[Wire, None] = {}
        self._refused_until: dict[str, int] = {}
        self._slow: dict[str, tuple[int, int]] = {}  # address -> (until, extra microseconds)
        self._port = FIRST_PORT

    def attach(self, loop: "VirtualLoop") -> None:
        self._loop = loop

    @property
    def loop(self) -> "VirtualLoop":
        assert self._loop is not None, "a net belongs to a loop"
        return self._loop

    def free_port(self) -> int:
        self._port += 1
        return self._port

    # Who listens ---------------------------------------------------------------------------

    def listen(self, address: str, factory: Callable[[], asyncio.BaseProtocol]) -> Server:
        if address in self._servers:
            raise OSError(98, f"address in use: {address}")
        server = self._servers[address] = Server(self, address, factory)
        return server

    def unlisten(self, server: Server) -> None:
        if self.listens(server):
            del self._servers[server.address]

    def listens(self, server: Server) -> bool:
        return self._servers.get(server.address) is server

    async def connect(
        self, address: str, factory: Callable[[], asyncio.BaseProtocol], owner: str
    ) -> tuple[Wire, asyncio.BaseProtocol]:
        """A way there and back; ConnectionRefusedError where nobody answers."""
        self.connects += 1
        number = self.connects
        chance = Chance(self._seed, "connect", number)
        weather = self.weather
        for _ in range(2):
            way = weather.least_us + int(weather.spread_us * chance.uniform())
            await asyncio.sleep(way * MICRO / SECOND)
        server = self._servers.get(address)
        if server is None or self._refused_until.get(address, 0) > self.loop.now_ns:
            self.refusals += 1
            raise ConnectionRefusedError(111, f"connection refused: {address}")
        names = ((OUR_ADDRESS, 30_000 + number), (address, 0))
        ours, theirs = Wire(self, address, names), Wire(self, address, names[::-1])
        ours.owner, ours.client = owner, True
        ours.number = theirs.number = number
        there = Lane(self, Chance(self._seed, "lane", number, 0))
        back = Lane(self, Chance(self._seed, "lane", number, 1))
        theirs.context = server.context.copy()
        protocol, served = factory(), server.context.copy().run(server.factory)
        ours.join(theirs, there, protocol)
        theirs.join(ours, back, served)
        self._ends[ours] = None
        theirs.context.run(served.connection_made, theirs)
        protocol.connection_made(ours)
        return ours, protocol

    def forget(self, wire: Wire) -> None:
        self._ends.pop(wire, None)

    # Misfortune ----------------------------------------------------------------------------

    def to(self, address: str) -> list[Wire]:
        """Our ends of every living connection to an address, oldest first."""
        return [wire for wire in self._ends if wire.address == address]

    def cut(self, wire: Wire) -> None:
        self.cuts += 1
        wire.cut()

    def refuse(self, address: str, span_ns: int) -> None:
        """Nobody gets through to an address for a while."""
        self._refused_until[address] = self.loop.now_ns + span_ns

    def slow_down(self, address: str, span_ns: int, extra_ms: int) -> None:
        """Every piece to and from an address takes up to so much longer for a while."""
        self._slow[address] = (self.loop.now_ns + span_ns, extra_ms * MILLI // MICRO)

    def slowness(self, to: Wire) -> int:
        slow = self._slow.get(to.address)
        if slow is None or slow[0] < self.loop.now_ns:
            return 0
        return slow[1]

    def kill(self, owner: str) -> None:
        """Every end of a process that died."""
        for wire in [w for w in self._ends if w.owner == owner]:
            wire.kill()
