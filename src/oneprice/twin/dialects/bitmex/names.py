"""Ids as the venue spells them: GUIDs that carry the exchange's own growing numbers."""

ORDER = 0x0A11D0E5
EXECUTION = 0x0E8EC0DE
TRADE = 0x0072AD35
TRANSFER = 0x00CA5B00
UNBORN = 0x0DEAD0E5  # of orders that the engine turned away before they lived


def guid(kind: int, count: int) -> str:
    """`kind` fills the first group, the number the rest."""
    digits = f"{count:024x}"
    return f"{kind:08x}-{digits[:4]}-{digits[4:8]}-{digits[8:12]}-{digits[12:]}"


def count_of(kind: int, text: str) -> int:
    """The number in a GUID of that kind, 0 where the text is none."""
    head, _, rest = text.partition("-")
    digits = rest.replace("-", "")
    if len(text) != 36 or len(digits) != 24 or head.lower() != f"{kind:08x}":
        return 0
    try:
        return int(digits, 16)
    except ValueError:
        return 0
