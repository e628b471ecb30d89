"""When dated futures expire: the last Friday of March, June, September and December."""

from oneprice.model.units import HOUR

DAY = 24 * HOUR
NEAREST_DAYS = 14  # a contract that ends sooner has made room for the next one
_CODES = {3: "H", 6: "M", 9: "U", 12: "Z"}  # month letters of futures


def quarter_end(at: int, hour: int) -> int:
    """The next quarterly expiry in ns, at least two weeks away, at a full hour UTC."""
    day = at // DAY + NEAREST_DAYS
    while True:
        year, month, _ = civil(day)
        quarter = (month + 2) // 3 * 3
        following = days(year + quarter // 12, quarter % 12 + 1, 1)
        last = following - 1
        friday = last - (last + 4 - 5) % 7  # 1970-01-01 was a Thursday
        if friday >= day:
            return friday * DAY + hour * HOUR
        day = following


def yymmdd(expiry: int) -> str:
    year, month, day = civil(expiry // DAY)
    return f"{year % 100:02d}{month:02d}{day:02d}"


def month_code(expiry: int) -> str:
    """As futures are named: Z26 for December 2026."""
    year, month, _ = civil(expiry // DAY)
    return f"{_CODES[month]}{year % 100:02d}"


def days(year: int, month: int, day: int) -> int:
    """Days since 1970-01-01 (H. Hinnant, "chrono-compatible low-level date algorithms")."""
    year -= month <= 2
    era, of_era = divmod(year, 400)
    of_year = (153 * ((month + 9) % 12) + 2) // 5 + day - 1
    return era * 146_097 + of_era * 365 + of_era // 4 - of_era // 100 + of_year - 719_468


def civil(day: int) -> tuple[int, int, int]:
    """Year, month and day of the month of a day since 1970-01-01."""
    era, of_era = divmod(day + 719_468, 146_097)
    year = (of_era - of_era // 1460 + of_era // 36_524 - of_era // 146_096) // 365
    of_year = of_era - (365 * year + year // 4 - year // 100)
    part = (5 * of_year + 2) // 153
    month = part + 3 if part < 10 else part - 9
    return year + era * 400 + (month <= 2), month, of_year - (153 * part + 2) // 5 + 1
