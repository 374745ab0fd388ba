"""HTTP dates (RFC 9110, 5.6.7) <-> datetime, spelled and read as Werkzeug spells and reads them."""

import re
from datetime import UTC, date, datetime
from functools import cache

_DAYS = ("Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun")
_MONTHS = ("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec")
_MONTH_NUMBER = {name: number for number, name in enumerate(_MONTHS, 1)}

# Few sessions hold a date, and to compile the patterns takes longer than to load the rest of this module.


@cache
def _imf_fixdate() -> re.Pattern[str]:
    # Years below 100 are left to the general parser, which reads them as RFC 2822's two-digit years.
    return re.compile(
        r"[A-Z][a-z]{2}, ([0-9]{2}) ([A-Z][a-z]{2}) ((?!00)[0-9]{4}) ([0-9]{2}):([0-9]{2}):([0-9]{2}) GMT"
    )


@cache
def _iso() -> re.Pattern[str]:
    return re.compile(  # as datetime.isoformat(timespec="microseconds") spells
        r"[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2}\.[0-9]{6}"
        r"([+-][0-9]{2}:[0-9]{2}(:[0-9]{2}(\.[0-9]{6})?)?)?"
    )


def http_date(moment: date) -> str:
    """Spell *moment* in GMT: a naive datetime is taken as UTC, a plain date as its midnight.

    Raises OverflowError where the moment in UTC lies outside the years 1 to 9999.
    """
    if not isinstance(moment, datetime):
        moment = datetime(moment.year, moment.month, moment.day, tzinfo=UTC)
    elif moment.tzinfo is not None:
        moment = moment.astimezone(UTC)
    return (
        f"{_DAYS[moment.weekday()]}, {moment.day:02d} {_MONTHS[moment.month - 1]} {moment.year:04d}"
        f" {moment.hour:02d}:{moment.minute:02d}:{moment.second:02d} GMT"
    )


def parse_http_date(text: str) -> datetime | None:
    """Read *text* as an aware datetime, or None where it is no date."""
    if match := _imf_fixdate().fullmatch(text):
        day, month, year, hour, minute, second = match.groups()
        try:
            return datetime(
                int(year), _MONTH_NUMBER[month], int(day), int(hour), int(minute), int(second),
                tzinfo=UTC,
            )  # fmt: skip
        except (KeyError, ValueError):
            pass  # the general parser has the last word
    return _parse_any_date(text)


def parse_iso_date(text: str) -> datetime | None:
    """Read *text* as Quart up to 0.18 spells a datetime, which may be naive, or return None."""
    try:
        return datetime.fromisoformat(text) if _iso().fullmatch(text) else None
    except ValueError:
        return None


def _parse_any_date(text: str) -> datetime | None:
    # Imported here: a session seldom holds any other spelling, and the module is slow to load.
    from email.utils import parsedate_to_datetime

    try:
        moment = parsedate_to_datetime(text)
    except (TypeError, ValueError, OverflowError):
        return None
    return moment if moment.tzinfo is not None else moment.replace(tzinfo=UTC)
