"""Control of a running trader: its heartbeat, and the three ways to tell it to end.

A file KILL, KILL.flatten or RELEASE in the session directory, the signals SIGUSR1 and SIGUSR2,
and, where the configuration or a token in the environment wants it, an endpoint on loopback that
needs that token. None of it runs on the hot path: files are looked at by a thread, a few times a
second.
"""

import asyncio
import contextlib
import hmac
import os
import secrets
import signal
import threading
from collections.abc import Awaitable, Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec
import structlog
from aiohttp import web

from oneprice.app.config import RunConfig
from oneprice.app.control_kill import Kill, KillWish
from oneprice.app.control_report import KillReport
from oneprice.app.control_spot import GivenBackNews, LegKey, NotReadable
from oneprice.app.heartbeat import (
    BROKEN,
    ENDED,
    EVERY_S,
    HEARTBEAT,
    Heartbeat,
    Phase,
    beat_of,
    write_whole,
)
from oneprice.app.session import Session
from oneprice.model.events import ClutchReleased, GivenBack
from oneprice.shell.telemetry import TelemetryServer
from oneprice.shell.telemetry_veil import VEIL

if TYPE_CHECKING:
    from oneprice.app.run import Running

log = structlog.get_logger("control")

KILL_FILES = {"KILL": False, "KILL.flatten": True}  # whether holdings are to end, too
# Their content is the name of who signs; whether what a flatten has not closed is kept.
RELEASE_FILES = {"RELEASE": False, "RELEASE.keep": True}
# Who may have left a kill file, as its first word tells; else it was a person.
SAYS_WHO = ("command", "watchdog")
HEARD = ".heard"  # put behind the name of a file that was obeyed
TOKEN_NAME = "ONEPRICE_CONTROL_TOKEN"
TOKEN, PORT = "control.token", "control.json"
REASON_CHARS_MAX = 500
LOOKS_PER_BEAT = 2
TOKEN_CHARS_MIN = 16


class Address(msgspec.Struct, frozen=True, kw_only=True):
    """Where a trader listens for its owner."""

    host: str
    port: int
    pid: int


class KillBody(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What POST /kill may say."""

    flatten: bool = False
    reason: str = ""
    stop: bool = False


class ReleaseBody(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What POST /release must say: who signs for what differs."""

    by: str
    keep: bool = False  # what a flatten has not closed yet


class Status(msgspec.Struct, frozen=True, kw_only=True):
    """What GET /status says."""

    heartbeat: Heartbeat
    unsettled_orders: int
    groups: int
    holdings: int
    kill: KillReport | None = None


class Control:
    """Beats, listens and obeys for as long as `work` is awaited."""

    def __init__(self, running: "Running", session: Session, stop: asyncio.Event) -> None:
        self._running = running
        self._session = session
        self._directory = session.directory
        self._stop = stop
        self._config: RunConfig = session.manifest.config
        self._kill: Kill | None = None
        self._verifying: asyncio.Task[None] | None = None
        self._told = ""  # the disk's last refusal, said once
        self._given_back = GivenBackNews(session.directory)
        self._unreadable = ""  # its trouble, said once
        self._obeyed: dict[str, int] = {}  # kill files by the moment they were written
        self._writing = threading.Lock()
        self._over = False

    # Life ----------------------------------------------------------------------------------

    async def work(self) -> None:
        """Until it is cancelled; then the last beat says how the run ended."""
        loop = asyncio.get_running_loop()
        server = await self._open_endpoint()
        hearable = _hear_signals(loop, self._signalled)
        try:
            while True:
                beat = msgspec.json.encode(self._beat())
                for _ in range(LOOKS_PER_BEAT):
                    found, given = await asyncio.to_thread(self._beat_and_look, beat)
                    beat = b""
                    self._tell(given)  # first: a kill must not close it once more
                    for name, text in found:
                        self._obey(name, text)
                    await asyncio.sleep(EVERY_S / LOOKS_PER_BEAT)
        finally:
            if hearable:
                for number in (signal.SIGUSR1, signal.SIGUSR2):
                    loop.remove_signal_handler(number)
            await self._close(server)

    async def _close(self, server: TelemetryServer | None) -> None:
        if self._verifying is not None:
            self._verifying.cancel()
            await asyncio.gather(self._verifying, return_exceptions=True)
        if server is not None:
            await server.close()
            for name in (TOKEN, PORT):
                with contextlib.suppress(OSError):
                    (self._directory / name).unlink(missing_ok=True)
        last = msgspec.json.encode(self._beat(last=True))
        with self._writing:  # a beat that is still being written must not be the last one
            self._over = True
            self._write_beat(last)

    def _beat(self, *, last: bool = False) -> Heartbeat:
        running, manifest = self._running, self._session.manifest
        engine, runtime = running.desk.engine, running.runtime
        return beat_of(
            manifest.session,
            manifest.start,
            phase=self._end() if last else _phase(running.phase),
            clutch=VEIL.text(engine.clutch),
            sealed=runtime.sealed,
        )

    def _end(self) -> Phase:
        """In good order is an end only where nothing is left that somebody must look after."""
        running = self._running
        good = running.phase == "stopping" and not running.runtime.failure
        return ENDED if good and running.desk.engine.quiet else BROKEN

    def _beat_and_look(self, beat: bytes) -> tuple[list[tuple[str, str]], dict[LegKey, int]]:
        """For a thread: a disk that makes us wait must not make the loop wait."""
        with self._writing:
            if self._over:
                return [], {}
            if beat:
                self._write_beat(beat)
            return self._new_files(), self._new_given_back()

    def _write_beat(self, beat: bytes) -> None:
        try:
            write_whole(self._directory / HEARTBEAT, beat + b"\n")
        except OSError as error:
            reason = f"{error.filename}: {error.strerror}"
            if reason != self._told:
                self._told = reason
                log.error("no heartbeat", reason=reason)
        else:
            self._told = ""

    def _new_files(self) -> list[tuple[str, str]]:
        """Name and content of every file of ours that is new; each is renamed: heard."""
        found: list[tuple[str, str]] = []
        for name in (*RELEASE_FILES, *KILL_FILES):
            path = self._directory / name
            try:
                written = path.stat().st_mtime_ns
            except OSError:
                continue
            if self._obeyed.get(name) == written:
                continue  # it could not be renamed
            self._obeyed[name] = written
            try:
                text = path.read_bytes()[:REASON_CHARS_MAX].decode("utf-8", "replace")
            except OSError:  # that it is there says enough
                text = ""
            found.append((name, " ".join(text.split())))
            with contextlib.suppress(OSError):
                path.replace(path.with_name(name + HEARD))
        return found

    # Obeying -------------------------------------------------------------------------------

    def _obey(self, name: str, text: str) -> None:
        if name in KILL_FILES:
            who, _, reason = text.partition(":")
            by, why = (who, reason.strip()) if who in SAYS_WHO else ("file", text)
            self.kill(KillWish(reason=why, by=by, flatten=KILL_FILES[name]))
        elif text:
            self.release(text, keep=RELEASE_FILES[name])
        else:
            log.error("not released: the file names nobody", file=name)

    def tell_given_back(self) -> None:
        """Before anything else of a start: what was closed while no process was there."""
        self._tell(self._new_given_back())

    def _new_given_back(self) -> dict[LegKey, int]:
        try:
            return self._given_back.fresh()
        except NotReadable as error:
            if str(error) != self._unreadable:
                self._unreadable = str(error)
                log.error("not known what was given back", reason=str(error))
            return {}

    def _tell(self, legs: Mapping[LegKey, int]) -> None:
        """Which spot legs another hand has closed meanwhile: while this process was dead, or
        stood still for so long that it was taken for dead."""
        runtime = self._running.runtime
        for (root, instrument), lots in legs.items():
            at = runtime.clock.now()
            note = GivenBack(at=at, root=root, instrument=instrument, lots=lots)
            runtime.desk.event(note)
            runtime.poke(at)

    def kill(self, wish: KillWish) -> None:
        """End everything, and verify it with the venues; may be asked again."""
        if self._kill is None or self._verifying is None or self._verifying.done():
            config = self._config
            markets = [(v.name, m) for v in config.venues for m in v.in_markets]
            self._kill = Kill(
                self._running, self._directory, markets if config.engine.trading else []
            )
            self._kill.order(wish)
            self._verifying = self._running.runtime.spawn(self._verify(self._kill), "kill")
        else:
            self._kill.order(wish)

    async def _verify(self, kill: Kill) -> None:
        report = await kill.verify()
        if kill.stops and report.verified:
            self._stop.set()

    def release(self, by: str, *, keep: bool = False) -> None:
        """A person signs for what differs: the clutch is closed again, unless a flatten is under
        way and what is left of it shall not be kept."""
        runtime = self._running.runtime
        at = runtime.clock.now()
        runtime.desk.event(ClutchReleased(at=at, by=by, keeps=keep))
        runtime.poke(at)
        if self._verifying is not None and not runtime.desk.engine.clutch:
            self._verifying.cancel()

    def _signalled(self, number: int) -> None:
        flatten = number == signal.SIGUSR2
        self.kill(KillWish(reason="", by=signal.Signals(number).name, flatten=flatten))

    # The endpoint --------------------------------------------------------------------------

    async def _open_endpoint(self) -> TelemetryServer | None:
        given = os.environ.get(TOKEN_NAME, "")
        if not given and not self._config.control:
            return None
        if given and len(given) < TOKEN_CHARS_MIN:
            raise ValueError(f"{TOKEN_NAME}: expected {TOKEN_CHARS_MIN} characters or more")
        token = given or secrets.token_urlsafe(32)
        VEIL.keep(token)
        keeper = _Keeper(token.encode())
        server = TelemetryServer("127.0.0.1", 0, {"/status": keeper.guard(self._status)})
        server.app.router.add_post("/kill", keeper.guard(self._post_kill))
        server.app.router.add_post("/release", keeper.guard(self._post_release))
        await server.open()
        host, port = server.address
        if not given:
            write_whole(self._directory / TOKEN, token.encode() + b"\n", 0o600)
        address = Address(host=host, port=port, pid=os.getpid())
        write_whole(self._directory / PORT, msgspec.json.encode(address) + b"\n", 0o600)
        return server

    async def _post_kill(self, request: web.Request) -> web.Response:
        try:
            body = msgspec.json.decode(await request.read() or b"{}", type=KillBody)
        except (msgspec.MsgspecError, UnicodeDecodeError) as error:
            return _answer(400, {"error": f"kill: {error}"})
        reason = body.reason[:REASON_CHARS_MAX]
        self.kill(KillWish(reason=reason, by="endpoint", flatten=body.flatten, stop=body.stop))
        return _answer(202, self._status_now())

    async def _post_release(self, request: web.Request) -> web.Response:
        try:
            body = msgspec.json.decode(await request.read(), type=ReleaseBody)
        except (msgspec.MsgspecError, UnicodeDecodeError) as error:
            return _answer(400, {"error": f"release: {error}"})
        by = body.by.strip()
        if not by:
            return _answer(400, {"error": "release: by: found nothing, expected a name"})
        self.release(by[:REASON_CHARS_MAX], keep=body.keep)
        await asyncio.sleep(0)  # the turn in which it is applied
        return _answer(200, self._status_now())

    async def _status(self, request: web.Request) -> web.Response:
        return _answer(200, self._status_now())

    def _status_now(self) -> Status:
        report = self._running.desk.engine.report
        return Status(
            heartbeat=self._beat(),
            unsettled_orders=report.counts()["unsettled_orders"],
            groups=len(report.groups()),
            holdings=len(report.holdings()),
            kill=self._kill.report if self._kill is not None else None,
        )


class _Keeper:
    """Lets only those in who know the token."""

    def __init__(self, token: bytes) -> None:
        self._expected = b"Bearer " + token

    def guard(
        self, page: Callable[[web.Request], Awaitable[web.Response]]
    ) -> Callable[[web.Request], Awaitable[web.Response]]:
        async def guarded(request: web.Request) -> web.Response:
            shown = request.headers.get("Authorization", "").encode("utf-8", "replace")
            if not hmac.compare_digest(shown, self._expected):
                log.warning("control refused: no token or a wrong one", path=request.path)
                return _answer(401, {"error": "expected Authorization: Bearer TOKEN"})
            return await page(request)

        return guarded


def ask_by_file(directory: Path, who: str, reason: str, *, flatten: bool) -> None:
    """Leave word for a trader that cannot be reached otherwise; OSError where the disk refuses.
    `who` is one of SAYS_WHO."""
    name = next(name for name, flattens in KILL_FILES.items() if flattens == flatten)
    write_whole(directory / name, f"{who}: {reason}".encode() + b"\n")


def release_by_file(directory: Path, by: str, *, keep: bool) -> None:
    """The same for who signs; OSError where the disk refuses."""
    name = next(name for name, keeps in RELEASE_FILES.items() if keeps == keep)
    write_whole(directory / name, by.encode() + b"\n")


def _hear_signals(loop: asyncio.AbstractEventLoop, hear: Callable[[int], None]) -> bool:
    """False where this thread or system cannot be signalled so."""
    try:
        for number in (signal.SIGUSR1, signal.SIGUSR2):
            loop.add_signal_handler(number, hear, number)
    except (RuntimeError, ValueError, NotImplementedError, AttributeError):
        return False
    return True


def _phase(phase: str) -> Phase:
    known: Phase = msgspec.convert(phase, Phase)
    return known


def _answer(status: int, body: object) -> web.Response:
    text = VEIL.text(msgspec.json.encode(body).decode())
    return web.Response(status=status, text=text + "\n", content_type="application/json")
