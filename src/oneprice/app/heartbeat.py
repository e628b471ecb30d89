"""The heartbeat: a file that a trader rewrites for as long as its loop turns."""

import os
import time
from pathlib import Path
from typing import Final, Literal

import msgspec

HEARTBEAT = "heartbeat.json"
EVERY_S = 0.5
FRESH_S = 5.0  # a trader that said nothing for so long is not spoken to
ENDED: Final = "ended"
BROKEN: Final = "broken"

Phase = Literal["connecting", "trading", "stopping", "ended", "broken"]
BOOT_ID = Path("/proc/sys/kernel/random/boot_id")


class HeartbeatDamaged(ValueError):
    """A heartbeat file that says nothing that could be believed."""


class Heartbeat(msgspec.Struct, frozen=True, kw_only=True):
    """Who trades in a session, and when its loop last turned."""

    pid: int
    boot: str  # which boot of the machine `monotonic_ns` counts from; "" where it does not say
    monotonic_ns: int
    wall_ns: int
    session: str  # the prefix of this start's client ids
    start: int
    phase: Phase
    clutch: str = ""  # why it is open
    sealed: bool = False  # the journal refused a turn: this process can send nothing any more

    @property
    def over(self) -> bool:
        """Whether it wrote that it ends, in good order or not."""
        return self.phase in (ENDED, BROKEN)

    def age_s(self) -> float:
        """Seconds since it was written; by the clocks where the machine was started since."""
        if self.boot == boot_id():
            return max(0.0, (time.monotonic_ns() - self.monotonic_ns) / 1e9)
        return max(0.0, (time.time_ns() - self.wall_ns) / 1e9)

    @property
    def fresh(self) -> bool:
        """Whether somebody is there, on this machine, who can be told something."""
        here = self.boot == boot_id() and process_lives(self.pid)
        return here and not self.over and self.age_s() < FRESH_S


def read_heartbeat(directory: Path) -> Heartbeat | None:
    """The last sign of life of a session's trader, None where there never was one.

    Raises HeartbeatDamaged where the file holds something else, OSError where it is unreadable.
    """
    path = directory / HEARTBEAT
    try:
        return msgspec.json.decode(path.read_bytes(), type=Heartbeat)
    except FileNotFoundError:
        return None
    except (msgspec.MsgspecError, UnicodeDecodeError) as error:
        raise HeartbeatDamaged(f"{path}: {error}") from None


def beat_of(
    session: str, start: int, *, phase: Phase, clutch: str = "", sealed: bool = False
) -> Heartbeat:
    """A sign of life of this process, now."""
    return Heartbeat(
        pid=os.getpid(),
        boot=boot_id(),
        monotonic_ns=time.monotonic_ns(),
        wall_ns=time.time_ns(),
        session=session,
        start=start,
        phase=phase,
        clutch=clutch,
        sealed=sealed,
    )


def write_whole(path: Path, content: bytes, mode: int = 0o644) -> None:
    """All of a file or nothing of it, and readable by nobody else before it has its mode."""
    unfinished = path.with_name(f"{path.name}.{os.getpid()}.new")
    file = os.open(unfinished, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, mode)
    try:
        try:
            os.write(file, content)
        finally:
            os.close(file)
        unfinished.replace(path)
    except OSError:
        unfinished.unlink(missing_ok=True)
        raise


def boot_id() -> str:
    try:
        return BOOT_ID.read_text().strip()
    except OSError:
        return ""


def process_lives(pid: int) -> bool:
    """Whether a process is there and no mere entry that nobody has buried yet."""
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True  # somebody else's, but there
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except (OSError, IndexError):
        return True
    return state not in ("Z", "X")
