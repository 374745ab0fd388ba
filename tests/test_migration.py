"""asgi_flask_session.migration: cookies of other frameworks, spelled here by hand; the real ones are in peers/."""

import base64
import hashlib
import hmac
import json
import zlib
from datetime import timedelta

import pytest
from driver import NOW, SECRET, app_that, request, scope_for

from asgi_flask_session import FlaskSessionASGI, SessionWarning, Settings, SettingsError
from asgi_flask_session.client_side import ClientSide
from asgi_flask_session.migration import django_signed_cookies, request_cookie, starlette_session

DAY = 86_400
TWO_WEEKS = 14 * DAY
OTHER = "another-secret-of-the-tests"
BASE62 = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"


def url64(data):
    return base64.urlsafe_b64encode(data).rstrip(b"=")


def signature(digest, salt, secret, signed):
    key = digest(salt.encode() + b"signer" + secret.encode()).digest()
    return url64(hmac.digest(key, signed, digest().name))


def starlette_cookie(data, secret=SECRET, *, at=NOW, text=None, payload=None):
    payload = payload or base64.b64encode(json.dumps(data).encode() if text is None else text)
    signed = payload + b"." + url64(at.to_bytes((at.bit_length() + 7) // 8, "big"))
    return (signed + b"." + signature(hashlib.sha1, "itsdangerous.Signer", secret, signed)).decode()


def base62(number):
    return base62(number // 62).lstrip("0") + BASE62[number % 62] if number else "0"


SALT = "django.contrib.sessions.backends.signed_cookies"


def django_cookie(data, secret=SECRET, *, at=NOW, text=None, payload=None, salt=SALT, stamp=None):
    payload = payload or url64(json.dumps(data, separators=(",", ":")).encode() if text is None else text)
    signed = payload + b":" + (base62(at) if stamp is None else stamp).encode()
    return (signed + b":" + signature(hashlib.sha256, salt, secret, signed)).decode()


class Starlette:
    name = "session"
    cookie = staticmethod(starlette_cookie)

    @staticmethod
    def reader(secret=SECRET, *, now=NOW, name="session", **more):
        return starlette_session(secret, session_cookie=name, clock=lambda: now, **more)


class Django:
    name = "sessionid"
    cookie = staticmethod(django_cookie)

    @staticmethod
    def reader(secret=SECRET, *, now=NOW, name="sessionid", **more):
        return django_signed_cookies(secret, cookie_name=name, clock=lambda: now, **more)


@pytest.fixture(params=[Starlette, Django])
def theirs(request):
    return request.param


def read(theirs, cookie, **more):
    return theirs.reader(**more)(scope_for(cookie, name=theirs.name))


DATA = {"user": "ada", "cart": [1, {"n": None}], "é": "ü\ud800"}
KEPT = {"_permanent": True, **DATA}


def test_known_answer_of_starlette():
    with pytest.warns(SessionWarning, match="well-known"):
        reader = starlette_session("super-secret", clock=lambda: NOW)
    assert reader(scope_for("eyJhIjogMX0=.ZVPxAA.S7Vgebvrt7gq7duYRhZlk7LQpzU")) == {"_permanent": True, "a": 1}


def test_session_is_read(theirs):
    assert read(theirs, theirs.cookie(DATA)) == KEPT


def test_scope_without_the_cookie_is_none(theirs):
    reader = theirs.reader()
    assert [reader(scope_for()), reader({}), reader(scope_for("", name=theirs.name))] == [None] * 3
    assert reader(scope_for(theirs.cookie(DATA), name="another")) is None


def test_name_of_the_cookie_is_a_setting(theirs):
    reader = theirs.reader(name="__Host-old")
    assert reader(scope_for(theirs.cookie(DATA), name="__Host-old")) == KEPT


@pytest.mark.parametrize(
    ("age", "max_age", "is_read"),
    [
        (0, TWO_WEEKS, True),
        (TWO_WEEKS, TWO_WEEKS, True),
        (TWO_WEEKS + 1, TWO_WEEKS, False),
        (60, timedelta(minutes=1), True),
        (61, timedelta(minutes=1), False),
        (-1, TWO_WEEKS, False),
    ],
)
def test_age_is_checked(theirs, age, max_age, is_read):
    assert (read(theirs, theirs.cookie(DATA), now=NOW + age, max_age=max_age) == KEPT) is is_read


def test_age_is_two_weeks_by_default(theirs):
    cookie = theirs.cookie(DATA)
    assert [read(theirs, cookie, now=NOW + TWO_WEEKS + late) for late in (0, 1)] == [KEPT, None]


def test_former_keys_are_read(theirs):
    cookie = theirs.cookie(DATA, OTHER)
    assert read(theirs, cookie) is None
    assert read(theirs, cookie, fallbacks=["one-more-of-the-former-keys", OTHER.encode()]) == KEPT


def test_starlette_without_max_age_is_of_any_age_and_ends_with_the_browser():
    for now in (NOW - DAY, NOW + 1000 * DAY):
        assert read(Starlette, starlette_cookie(DATA), now=now, max_age=None) == DATA


@pytest.mark.parametrize(
    ("expiry", "by_setting", "permanent"),
    [(None, False, True), (None, True, False), (0, False, False), (300, True, True), ("2030-01-01", True, True)],
)
def test_django_session_is_permanent_where_its_cookie_outlived_the_browser(expiry, by_setting, permanent):
    data = {**DATA} if expiry is None else {**DATA, "_session_expiry": expiry}
    found = read(Django, django_cookie(data), expire_at_browser_close=by_setting)
    assert found == ({"_permanent": True} if permanent else {}) | data


def test_django_salt_is_a_setting():
    cookie = django_cookie(DATA, salt="of.our.own")
    assert [read(Django, cookie), read(Django, cookie, salt="of.our.own")] == [None, KEPT]


def test_django_session_is_read_decompressed():
    data = {"a": "x" * 2000}
    payload = b"." + url64(zlib.compress(json.dumps(data).encode()))
    assert read(Django, django_cookie(None, payload=payload)) == {"_permanent": True, **data}


DEEP = b'{"a":' + b"[" * 100_000 + b"]" * 100_000 + b"}"
NO_SESSIONS = [b"", b"null", b"[]", b"1", b'"a"', b"{", b"\xff", b"{'a': 1}", b'{"a":' + b"9" * 5000 + b"}"]


@pytest.mark.parametrize("text", [*NO_SESSIONS, DEEP[:5] + b"[" * 501 + b"]" * 501 + b"}"])
def test_what_is_signed_and_no_session_is_none(theirs, text):
    assert read(theirs, theirs.cookie(None, text=text)) is None


def test_empty_session_is_nothing_to_migrate(theirs):
    assert not read(theirs, theirs.cookie({}))


@pytest.mark.parametrize("payload", [b"?", b"e30", b"e30=", b"eyJhIjoxfQ=", b"e*yJhIjoxfQ==", b"."])
def test_base64_that_its_writer_does_not_spell_is_none(theirs, payload):
    assert not read(theirs, theirs.cookie(None, payload=payload))


def test_what_decompresses_to_too_much_is_none():
    bomb = b"." + url64(zlib.compress(b'{"a":"' + b"x" * 2**20 + b'"}'))
    cut = b"." + url64(zlib.compress(b'{"a":"' + bytes(range(32, 127)) + b'"}')[:-1])
    assert [read(Django, django_cookie(None, payload=payload)) for payload in (bomb, cut, b".e30")] == [None] * 3


def test_what_decompresses_deep_is_none():
    assert read(Django, django_cookie(None, payload=b"." + url64(zlib.compress(DEEP)))) is None


@pytest.mark.parametrize("stamp", ["", "-1", "é", "!", "1" * 12, "1" * 10_000, " 1", "1_1"])
def test_django_timestamp_that_is_none(stamp):
    value = (b"e30:" + stamp.encode("utf-8")).decode("latin-1")
    signed = value.encode("latin-1")
    cookie = f"{value}:{signature(hashlib.sha256, SALT, SECRET, signed).decode()}"
    assert read(Django, cookie) is None


@pytest.mark.parametrize(
    ("stamp", "now", "is_read"),
    [
        ("0" * 5 + base62(NOW), NOW, True),
        ("0" * 6 + base62(NOW), NOW, False),
        ("0", 0, True),
        ("", 0, False),
        ("z", 61, True),
    ],
)
def test_django_timestamp_has_one_to_eleven_digits(stamp, now, is_read):
    assert (read(Django, django_cookie(DATA, stamp=stamp), now=now) == KEPT) is is_read


def test_cookie_that_is_too_long_is_none(theirs):
    cookie = theirs.cookie({"a": "x" * 16_384})
    assert read(theirs, cookie) is None


@pytest.mark.parametrize(("zeros", "is_read"), [(1, True), (2, False)])
def test_cookie_of_the_greatest_length_is_read(zeros, is_read):
    cookie = django_cookie({"a": "x" * 12_241}, stamp="0" * zeros + base62(NOW))
    assert len(cookie) == 16_383 + zeros
    assert (read(Django, cookie) is not None) is is_read


def test_every_other_spelling_of_a_cookie_is_none(theirs):
    """Each byte is changed, each is left out: what still reads has the very bits of the signature."""
    cookie = theirs.cookie({"a": 1})
    separator = cookie.rindex("." if theirs is Starlette else ":")
    for index in range(len(cookie)):
        for other in ("A", "_", ".", ":", "é", ""):
            changed = cookie[:index] + other + cookie[index + 1 :]
            if changed != cookie and not (other and separator < index == len(cookie) - 1):
                assert not read(theirs, changed), changed


@pytest.mark.parametrize("value", ["null", ".", ":", "..", "::", "a.b.c", "a:b:c", "\xff\xff", "." * 10_000])
def test_rubbish_is_none(theirs, value):
    assert read(theirs, value) is None


@pytest.mark.parametrize(
    "secret", [SECRET.encode(), type("SecretStr", (), {"get_secret_value": lambda self: SECRET})()]
)
def test_secret_may_be_bytes_or_wrapped(theirs, secret):
    assert read(theirs, theirs.cookie(DATA), secret=secret) == KEPT


@pytest.mark.parametrize(
    ("more", "message"),
    [
        ({"secret": ""}, "secret is empty"),
        ({"secret": None}, "secret is a NoneType"),
        ({"fallbacks": SECRET}, "one string"),
        ({"name": "a b"}, "cookie_name is 'a b'"),
        ({"max_age": 0}, "max_age is 0: write 1 second or more"),
        ({"max_age": "1 day"}, "max_age is '1 day': write a timedelta or a number of seconds"),
    ],
)
def test_what_can_never_work_is_refused(theirs, more, message):
    with pytest.raises(SettingsError, match=message):
        theirs.reader(**more)


def test_nothing_secret_is_in_a_repr(theirs):
    settings = Settings(SECRET, migrate_from=[theirs.reader(fallbacks=[OTHER])])
    assert SECRET not in repr(settings)
    assert OTHER not in repr(settings)


# Behind the middleware


def wrap(theirs, handle, *, now=NOW, **more):
    return FlaskSessionASGI(app_that(handle), SECRET, clock=lambda: now, migrate_from=[theirs.reader(now=now)], **more)


def written(cookie):
    return dict(ClientSide(Settings(SECRET), lambda: NOW).open(cookie.encode(), {}))


def nothing(session):
    pass


def test_migrated_session_is_written_as_flasks_and_once(theirs):
    seen = []
    app = wrap(theirs, lambda session: seen.append((dict(session), session.new, session.signed_at)))
    first = request(app, theirs.cookie(DATA), name=theirs.name)
    assert written(first.cookie) == KEPT
    assert "Expires=" in first.set_cookie
    again = f"session={first.cookie}".encode()
    if theirs.name != "session":  # their cookie is still there
        again += f"; {theirs.name}={theirs.cookie({'user': 'eve'})}".encode()
    app = wrap(theirs, lambda session: seen.append(dict(session)), refresh_each_request=False)
    assert request(app, headers=[(b"cookie", again)]).set_cookie is None
    assert seen == [(KEPT, False, None), KEPT]


def test_cookie_that_came_in_pieces_is_read(theirs):
    """R1: HTTP/2 splits them."""
    name, value = theirs.name.encode(), theirs.cookie(DATA).encode()
    pieces = [(b"cookie", b"a=b"), (b"cookie", name + b"=" + value), (b"cookie", b"c=d")]
    assert written(request(wrap(theirs, nothing), headers=pieces).cookie) == KEPT


def test_cookie_of_ours_counts_before_theirs():
    """Both have one name where the domain or the path is not the same; the one that is ours is found if it is first."""
    ours = ClientSide(Settings(SECRET), lambda: NOW)
    session = ours.open(None, {})
    session["user"] = "grace"
    value = ours.write(session, ours.decide(session)).partition(b";")[0]
    seen = []
    app = wrap(Starlette, lambda session: seen.append(dict(session)))
    for cookies in (
        value + b"; session=" + starlette_cookie(DATA).encode(),
        b"session=" + starlette_cookie(DATA).encode() + b"; " + value,
    ):
        request(app, headers=[(b"cookie", cookies)])
    assert seen == [{"user": "grace"}, KEPT]


def test_logout_deletes_the_cookie_of_our_name_in_the_very_request():
    answer = request(wrap(Starlette, lambda session: session.clear()), starlette_cookie(DATA))
    assert answer.set_cookie.startswith("session=; Expires=Thu, 01 Jan 1970")


def test_cookie_of_another_name_is_left_alone_and_comes_back_after_a_logout():
    """What the page on frameworks says: the app's logout has to delete it too."""
    answer = request(wrap(Django, lambda session: session.clear()), django_cookie(DATA), name="sessionid")
    assert answer.set_cookie is None
    assert written(request(wrap(Django, nothing), django_cookie(DATA), name="sessionid").cookie) == KEPT


def test_old_session_that_is_revoked_is_empty(theirs):
    seen = []
    app = wrap(theirs, lambda session: seen.append(dict(session)), is_revoked=lambda session, signed_at: True)
    assert request(app, theirs.cookie(DATA), name=theirs.name).set_cookie is None
    assert seen == [{}]


# request_cookie


@pytest.mark.parametrize(
    ("headers", "value"),
    [
        ([], None),
        ([(b"cookie", b"a=b")], None),
        ([(b"cookie", b"a=b; old=1; old=2")], "1"),
        ([(b"cookie", b'old="a;b"')], "a;b"),
        ([(b"cookie", b"a=b"), (b"cookie", b"old=\xff")], "\xff"),
    ],
)
def test_request_cookie(headers, value):
    assert request_cookie({"headers": headers}, "old") == value
