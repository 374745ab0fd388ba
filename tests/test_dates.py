"""HTTP dates, held to Python's own."""

from datetime import UTC, date, datetime, timedelta, timezone
from email.utils import format_datetime, parsedate_to_datetime

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from asgi_flask_session.dates import http_date, parse_http_date, parse_iso_date

zones = st.integers(-1439, 1439).map(lambda minutes: timezone(timedelta(minutes=minutes)))
moments = st.datetimes(datetime(2, 1, 1), datetime(9998, 1, 1), timezones=zones)


@pytest.mark.usefixtures("_far_from_greenwich")
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])  # one zone for all examples
@given(moments)
def test_http_date_is_spelled_as_the_library_spells_it(moment):
    assert http_date(moment) == format_datetime(moment.astimezone(UTC), usegmt=True)


@given(moments)
def test_dates_read_as_the_library_reads_them(moment):
    text = http_date(moment)
    assert parse_http_date(text) == parsedate_to_datetime(text)


@pytest.mark.parametrize(
    ("moment", "text"),
    [
        (datetime(2023, 11, 14, 22, 13, 20), "Tue, 14 Nov 2023 22:13:20 GMT"),
        (date(2023, 11, 14), "Tue, 14 Nov 2023 00:00:00 GMT"),
    ],
)
def test_naive_moments_are_utc(moment, text):
    assert http_date(moment) == text


@pytest.mark.parametrize(
    ("text", "moment"),
    [
        ("Tue, 14 Nov 2023 22:13:20 +0200", datetime(2023, 11, 14, 20, 13, 20, tzinfo=UTC)),
        ("14 Nov 2023 22:13:20", datetime(2023, 11, 14, 22, 13, 20, tzinfo=UTC)),
        ("Tue, 14 Nov 0023 22:13:20 GMT", datetime(2023, 11, 14, 22, 13, 20, tzinfo=UTC)),
        ("Tue, 30 Feb 2023 22:13:20 GMT", None),
        ("Tue, 14 Xxx 2023 22:13:20 GMT", None),
        ("rubbish", None),
        ("Mon, 01 Jan 2024 00:00:00 +99999999999999999", None),
        ("", None),
    ],
)
def test_other_spellings_are_read_or_none(text, moment):
    assert parse_http_date(text) == moment


@given(st.datetimes() | moments)
def test_iso_dates_of_quart_are_read(moment):
    assert parse_iso_date(moment.isoformat(timespec="microseconds")) == moment


@pytest.mark.parametrize("text", ["2024-02-30T12:30:15.000000", "2024-02-29T12:30:15", "2024-02-29", "", "x"])
def test_other_iso_dates_are_not(text):
    assert parse_iso_date(text) is None
