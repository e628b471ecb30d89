"""What is mutated, and how: frames of transcripts and recordings, and every way to spoil them."""

import importlib.util
import json
import os
import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st

HERE = Path(__file__).resolve().parent
WIRE = HERE.parent / "wire"
DATA = Path(os.environ.get("ONEPRICE_DATA", HERE.parents[1] / "../shared/data"))
EXAMPLES = int(os.environ.get("ONEPRICE_FUZZ", "100"))  # of every venue and test
RECORDED = {"bybit": "bybit_v5", "okx": "okx_v5", "kucoin": "kucoin", "bitmex": "bitmex"}
RECORDED_FRAMES = 30  # of each venue
LINE_BYTES_MAX = 20_000

THOROUGH = settings(
    max_examples=EXAMPLES,
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large],
)


def wire(name: str, folder: Path = WIRE) -> ModuleType:
    """A module of tests/wire, whose folder is no package."""
    if str(WIRE) not in sys.path:
        sys.path.append(str(WIRE))  # they import each other by name
    label = name if folder == WIRE else f"fuzz_{folder.name}_{name}"
    if label in sys.modules:
        return sys.modules[label]
    spec = importlib.util.spec_from_file_location(label, folder / f"{name}.py")
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[label] = module
    spec.loader.exec_module(module)
    return module


PLAYER = wire("wireplayer")
VENUES: dict[str, Path] = PLAYER.VENUES


def lines(venue: str, wanted: str) -> Iterator[str]:
    for path in PLAYER.CONVERSATIONS:
        if path.parent.name == venue:
            for _, sign, text in PLAYER.lines_of(path):
                if sign == wanted:
                    yield text


def said(venue: str) -> list[tuple[str, str, Any]]:
    """(socket, "", body) of every frame and (status, tag, body) of every answer, as JSON."""
    found = []
    for text in lines(venue, "<"):
        target, _, rest = text.partition(" ")
        tag, _, body = rest.partition(" ") if target.isdigit() else ("", "", rest)
        value = parsed(body)
        if value is not None:
            found.append((target, tag, value))
    return found


def recorded(venue: str, sockets: list[str]) -> list[tuple[str, str, Any]]:
    """Some recorded public frames where recordings are at hand, on every public socket."""
    found: list[tuple[str, str, Any]] = []
    folder = DATA / RECORDED.get(venue, f"{venue}_spot_raw")
    files = sorted(path for path in folder.rglob("*") if path.is_file()) if folder.is_dir() else []
    for path in files[:6]:
        with path.open("rb") as file:
            for line in file.read(400_000).splitlines()[:RECORDED_FRAMES]:
                start = line.find(b"{")
                short = start >= 0 and len(line) < LINE_BYTES_MAX
                value = parsed(line[start:]) if short else None
                if isinstance(value, dict):
                    found += [(socket, "", value) for socket in sockets]
    return found[:RECORDED_FRAMES]


def parsed(body: str | bytes) -> Any:
    try:
        return json.loads(body)
    except ValueError:
        return None


def places(node: Any, path: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    """The path of everything inside."""
    found = [path] if path else []
    items: Any = node.items() if isinstance(node, dict) else ()
    items = enumerate(node) if isinstance(node, list) else items
    for key, value in items:
        found += places(value, (*path, key))
    return found


ODD = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-(10**30), 10**30),
    st.floats(allow_nan=False, allow_infinity=False),
    st.text(max_size=8),
    st.sampled_from(
        ["", "0", "-1", "1e9999", "NaN", "Infinity", "1_0", "٣", "9" * 60, " 1", "60000.05", "0x1"]
    ),
    st.sampled_from(["[]", "{}", "[[]]", '[["1","2","3"]]']).map(json.loads),  # fresh each time
)
WHOLE = ("cut", "noise", "utf8", "twice", "doubled", "page", "empty", "deep", "as it is")
PAGE = b"<html><head><title>502 Bad Gateway</title></head><body></body></html>"


@st.composite
def spoilt(draw: st.DrawFn, value: Any) -> bytes:
    """A message with a few places swapped, gone, turned from number to text or back, reordered,
    and then perhaps cut, doubled, filled with noise, or replaced by a page."""
    node = json.loads(json.dumps(value))
    for _ in range(draw(st.integers(0, 3))):
        spots = places(node)
        if not spots:
            break
        *way, last = draw(st.sampled_from(spots))
        holder = node
        for step in way:
            holder = holder[step]
        match draw(st.sampled_from(["odd", "gone", "other type"])):
            case "odd":
                holder[last] = draw(ODD)
            case "gone":
                del holder[last]
            case _:
                holder[last] = other_type(holder[last])
    if isinstance(node, dict) and draw(st.booleans()):
        node = dict(reversed(node.items()))
    return torn(draw, json.dumps(node).encode())


def other_type(value: Any) -> Any:
    """A number as text, a text as number, anything else as its own JSON."""
    if isinstance(value, str):
        number = parsed(value)
        return number if isinstance(number, int | float) else [value]
    return json.dumps(value)


def torn(draw: st.DrawFn, text: bytes) -> bytes:
    middle = draw(st.integers(0, len(text)))
    match draw(st.sampled_from(WHOLE)):
        case "cut":
            return text[:middle]
        case "noise":
            return text[:middle] + draw(st.binary(max_size=8)) + text[middle:]
        case "utf8":
            return text[:middle] + b"\xff\xfe\xc3" + text[middle:]
        case "twice":
            return text + text
        case "doubled" if text.startswith(b"{") and len(text) > 2:
            return text[:-1] + b"," + text[1:]  # every key a second time
        case "page":
            return PAGE
        case "empty":
            return b""
        case "deep":
            return b'{"data":' * 300 + text
    return text
