"""A msgspec type learned from one frame, to decode all frames of its shape at once."""

from __future__ import annotations

from collections.abc import Sequence
from operator import attrgetter
from typing import Any

import msgspec

_Scalar = str | int | float | bool | None


class Layout:
    """Decodes frames with exactly the keys of the frame it was learned from.

    `colons` is the number of keys: a frame with as many colons and all the keys has no key twice.
    """

    __slots__ = ("_decode", "_take", "colons")

    def __init__(self, root: dict[str, Any], wanted: Sequence[str], levels: Sequence[str]) -> None:
        """Learn from a decoded frame; LookupError when it has a shape that cannot be learned."""
        self.colons = 0
        paths: dict[str, str] = {}
        kind = self._kind(root, "", set(wanted) - {""}, set(levels), paths)
        self._decode: Any = msgspec.json.Decoder(kind).decode
        self._take = attrgetter(*(paths.get(key, "ABSENT") for key in wanted))

    def facts(self, frame: bytes) -> Any:
        """The values of the wanted keys, None for those absent (msgspec's errors)."""
        return self._take(self._decode(frame))

    def _kind(
        self,
        node: dict[str, Any],
        path: str,
        wanted: set[str],
        levels: set[str],
        paths: dict[str, str],
    ) -> type:
        fields: list[tuple[str, Any]] = []
        names: dict[str, str] = {}
        for place, (key, value) in enumerate(node.items()):
            field = f"f{place}"
            names[field] = key
            self.colons += 1
            if key in levels:
                width = len(value[0]) if value else 2
                fields.append((field, list[tuple[(str,) * width]]))  # type: ignore[misc]
            elif key in wanted:
                fields.append((field, type(value)))
            elif isinstance(value, dict):
                inner = self._kind(value, f"{path}{field}.", wanted, levels, paths)
                fields.append((field, inner))
            elif isinstance(value, list):
                raise LookupError("an array among the keys")
            else:
                fields.append((field, _Scalar))
            if key in wanted:
                paths[key] = path + field
        return msgspec.defstruct(
            "Frame",
            fields,
            rename=names,
            forbid_unknown_fields=True,
            gc=False,
            namespace={"ABSENT": None},
        )
