"""S2: the real Flask-Session and ours on one Redis, each with the sessions of the other."""

import asyncio
import json
import pickle
import sys
import warnings
from datetime import UTC, datetime, timedelta, timezone
from uuid import UUID

import pytest
from driver import NOW, SECRET, app_that, request
from hypothesis import given
from hypothesis import strategies as st
from itsdangerous import Signer
from peers.flask_side import clock_at
from peers.sessions import at_depth, exactly, examples

from asgi_flask_session import FlaskSessionASGI, Settings
from asgi_flask_session.stores.redis import RedisStore

flask = pytest.importorskip("flask")
flask_session = pytest.importorskip("flask_session")
msgspec = pytest.importorskip("msgspec")
redis = pytest.importorskip("redis")

CONFIGS = {
    "as it comes": {},
    "json": {"SESSION_SERIALIZATION_FORMAT": "json"},
    "signed": {"SESSION_USE_SIGNER": True},
    "prefix and length": {"SESSION_KEY_PREFIX": "app:", "SESSION_ID_LENGTH": 48},
    "all": {
        "SESSION_SERIALIZATION_FORMAT": "json",
        "SESSION_USE_SIGNER": True,
        "SESSION_KEY_PREFIX": "",
        "SESSION_ID_LENGTH": 16,
        "SESSION_PERMANENT": False,
        "SESSION_COOKIE_NAME": "id",
        "PERMANENT_SESSION_LIFETIME": timedelta(hours=1),
    },
}
DATA = {"user": "ada", "cart": [1, {"n": 2.5}], "é": None}


class Theirs:
    """A Flask app of one view on Flask-Session, which does with the session what it is asked to."""

    def __init__(self, client, **config):
        self.app = flask.Flask(__name__)
        self.app.config |= {"SECRET_KEY": SECRET, "TESTING": True, "SESSION_TYPE": "redis", "SESSION_REDIS": client}
        self.app.config |= config
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", DeprecationWarning)  # of SESSION_USE_SIGNER
            flask_session.Session(self.app)
        self.app.add_url_rule("/", view_func=lambda: str(self.act(flask.session)))
        self.client = self.app.test_client(use_cookies=False)
        self.name = self.app.config["SESSION_COOKIE_NAME"]

    def line(self, cookie, act):
        """Return the Set-Cookie line of a request, or None."""
        self.act = act
        with clock_at(NOW):
            answer = self.client.get("/", headers={} if cookie is None else {"Cookie": f"{self.name}={cookie}"})
        assert answer.status_code == 200
        lines = answer.headers.getlist("Set-Cookie")
        assert len(lines) <= 1
        return lines[0] if lines else None


class Ours:
    """Our middleware with the settings of that app."""

    def __init__(self, theirs, store, runner, **changes):
        self.settings = Settings.from_flask(theirs.app, store=store, **changes)
        self.runner, self.name = runner, theirs.name
        self.app = FlaskSessionASGI(app_that(self.view), settings=self.settings, clock=lambda: NOW)

    def view(self, session):
        self.act(session)

    def line(self, cookie, act):
        self.act = act
        answer = request(self.app, cookie, name=self.name, run=self.runner.run)
        assert answer.status == 200
        return answer.set_cookie


class Pair:
    """Both on one Redis."""

    def __init__(self, client, store, runner, **config):
        changes = {name: config.pop(name) for name in list(config) if name.islower()}
        self.client = client
        self.theirs = Theirs(client, **config)
        self.ours = Ours(self.theirs, store, runner, **changes)
        self.prefix, self.signs = self.ours.settings.key_prefix, self.ours.settings.sign_ids

    def key(self, cookie):
        return self.prefix + (cookie.rpartition(".")[0] if self.signs else cookie)

    def record(self, cookie):
        return self.client.get(self.key(cookie))


def write(side, data, cookie=None):
    """Return the cookie of a session with *data* in it."""
    return value_of(side.line(cookie, lambda session: session.update(data)))


def write_to_both(both, data):
    """Return the lines of a new session with *data* in it, there and here."""
    return [side.line(None, lambda session: session.update(data)) for side in (both.theirs, both.ours)]


def read(side, cookie):
    """Return what a side reads from a cookie, but for the key of permanence."""
    seen = {}
    side.line(cookie, seen.update)
    seen.pop("_permanent", None)
    return seen


def value_of(line):
    return None if line is None else line.partition(";")[0].partition("=")[2]


@pytest.fixture(scope="module")
def runner():
    with asyncio.Runner() as runner:
        yield runner


@pytest.fixture(scope="module")
def client(redis_server):
    with redis.Redis.from_url(redis_server.url) as client:
        yield client


@pytest.fixture(scope="module")
def store(redis_server, runner):
    store = RedisStore.from_url(redis_server.url, timeout=timedelta(seconds=5))
    yield store
    runner.run(store.aclose())


@pytest.fixture(scope="module")
def pair(client, store, runner):
    return lambda **config: Pair(client, store, runner, **config)


@pytest.fixture(scope="module")
def both(pair):
    return pair()


@pytest.fixture(scope="module")
def both_in_json(pair):
    return pair(**CONFIGS["json"])


# Settings


def test_settings_are_those_that_flask_session_was_told(pair):
    settings = pair(**CONFIGS["all"]).ours.settings
    assert (settings.key_prefix, settings.record_format, settings.sign_ids) == ("", "json", True)
    assert (settings.id_bytes, settings.permanent, settings.cookie_name) == (16, False, "id")
    assert settings.permanent_lifetime == timedelta(hours=1)


def test_settings_of_flask_session_untold(pair):
    settings = pair().ours.settings
    assert (settings.key_prefix, settings.record_format, settings.sign_ids) == ("session:", "msgpack", False)
    assert (settings.id_bytes, settings.permanent, settings.salt) == (32, True, "cookie-session")
    assert settings.permanent_lifetime == timedelta(days=31)


# A life on both sides


@pytest.mark.parametrize("config", CONFIGS.values(), ids=CONFIGS)
def test_session_begun_there_is_read_changed_and_ended_here(pair, config):
    both = pair(**config)
    cookie = write(both.theirs, DATA)
    assert read(both.ours, cookie) == DATA
    assert write(both.ours, {"cart": [2]}, cookie) == cookie
    assert read(both.theirs, cookie) == read(both.ours, cookie) == {**DATA, "cart": [2]}
    assert value_of(both.ours.line(cookie, lambda session: session.clear())) == ""
    assert both.record(cookie) is None
    assert read(both.theirs, cookie) == read(both.ours, cookie) == {}


@pytest.mark.parametrize("config", CONFIGS.values(), ids=CONFIGS)
def test_session_begun_here_is_read_changed_and_ended_there(pair, config):
    both = pair(**config)
    cookie = write(both.ours, DATA)
    assert read(both.theirs, cookie) == DATA
    assert write(both.theirs, {"cart": [2]}, cookie) == cookie
    assert read(both.ours, cookie) == read(both.theirs, cookie) == {**DATA, "cart": [2]}
    assert value_of(both.theirs.line(cookie, lambda session: session.clear())) == ""
    assert both.record(cookie) is None
    assert read(both.ours, cookie) == {}
    assert write(both.ours, {"a": 1}, cookie) not in (None, cookie)


@pytest.mark.parametrize("config", CONFIGS.values(), ids=CONFIGS)
def test_record_lifetime_and_line_are_those_of_flask_session(pair, config):
    """S2: bytes for bytes, but for the random id."""
    both = pair(**config)
    lines = write_to_both(both, DATA)
    there, here = map(value_of, lines)
    assert (len(here), both.record(here)) == (len(there), both.record(there))
    assert lines[0].replace(there, "") == lines[1].replace(here, "")
    lifetime = both.ours.settings.permanent_lifetime.total_seconds()
    for cookie in (here, there):
        assert lifetime - 5 <= both.client.ttl(both.key(cookie)) <= lifetime


def test_new_session_here_is_as_permanent_as_there(pair):
    for permanent in (True, False):
        both = pair(SESSION_PERMANENT=permanent)
        there, here = write(both.theirs, DATA), write(both.ours, DATA)
        assert msgspec.msgpack.decode(both.record(here)) == msgspec.msgpack.decode(both.record(there))
        assert msgspec.msgpack.decode(both.record(here)).get("_permanent", False) is permanent


@pytest.mark.parametrize("side", ["theirs", "ours"])
def test_request_of_a_permanent_session_gives_it_a_new_lifetime(pair, side):
    both = pair()
    cookie = write(both.theirs, DATA)
    record = both.record(cookie)
    both.client.expire(both.key(cookie), 100)
    read(getattr(both, side), cookie)
    assert both.client.ttl(both.key(cookie)) > 31 * 86400 - 5
    assert both.record(cookie) == record


def test_session_that_is_not_permanent_is_left_alone_by_a_read_here(pair):
    both = pair(SESSION_PERMANENT=False)
    cookie = write(both.theirs, DATA)
    both.client.expire(both.key(cookie), 100)
    assert both.ours.line(cookie, lambda session: session["user"]) is None
    assert both.client.ttl(both.key(cookie)) <= 100


def test_signed_ids_of_either_salt_and_of_former_keys_are_read_here(pair):
    old = pair(SECRET_KEY="the-former-key-of-these-tests", SESSION_USE_SIGNER=True)
    cookie = write(old.theirs, DATA)
    new = pair(SECRET_KEY_FALLBACKS=["the-former-key-of-these-tests"], SESSION_USE_SIGNER=True)
    assert read(new.ours, cookie) == DATA
    again = write(new.ours, {"a": 1}, cookie)
    assert again == Signer(SECRET, salt="flask-session", key_derivation="hmac").sign(cookie.rpartition(".")[0]).decode()
    assert read(new.theirs, again) == {**DATA, "a": 1}


# New ids


def test_id_given_there_is_followed_here_and_the_old_one_is_dead(pair):
    both = pair()
    old = write(both.ours, DATA)
    new = value_of(both.theirs.line(old, both.theirs.app.session_interface.regenerate))
    assert new not in (None, old)
    assert (read(both.ours, new), read(both.ours, old)) == (DATA, {})


NEW_IDS = {"regenerate": lambda session: session.regenerate(), "login": lambda session: session.update(_user_id="7")}


@pytest.mark.parametrize("change", NEW_IDS.values(), ids=NEW_IDS)
def test_id_given_here_is_followed_there_and_the_old_one_is_dead(pair, change):
    both = pair()
    old = write(both.theirs, DATA)
    new = value_of(both.ours.line(old, change))
    assert new not in (None, old)
    assert DATA.items() <= read(both.theirs, new).items()
    assert (read(both.theirs, old), read(both.ours, old)) == ({}, {})
    assert both.record(old) is None


def test_id_that_the_store_does_not_have_is_adopted_by_nobody(pair):
    both = pair()
    unknown = "A" * 43
    for side in (both.theirs, both.ours):
        assert write(side, {"a": 1}, unknown) not in (None, unknown)
    assert both.record(unknown) is None


def test_logout_there_during_a_request_here_stays_one(pair):
    both = pair()
    cookie = write(both.theirs, DATA)

    def log_out_meanwhile(session):
        session["late"] = True
        assert value_of(both.theirs.line(cookie, lambda session: session.clear())) == ""

    assert both.ours.line(cookie, log_out_meanwhile) is None
    assert both.record(cookie) is None
    assert read(both.theirs, cookie) == {}


def test_write_there_during_a_request_here_is_kept(pair):
    both = pair()
    cookie = write(both.theirs, DATA)

    def write_meanwhile(session):
        session["here"] = 1
        write(both.theirs, {"there": 2}, cookie)

    both.ours.line(cookie, write_meanwhile)
    assert read(both.theirs, cookie) == {**DATA, "here": 1, "there": 2}


# Formats


def written(form, data):
    return msgspec.msgpack.encode(data) if form == "msgpack" else msgspec.json.encode(data)


@pytest.mark.parametrize("stored", ["msgpack", "json"])
@pytest.mark.parametrize("configured", ["msgpack", "json"])
@pytest.mark.parametrize("changes", [{}, {"record_format": "tagged"}], ids=["as there", "tagged"])
def test_record_that_is_there_keeps_its_format(pair, stored, configured, changes):
    cookie = write(pair(SESSION_SERIALIZATION_FORMAT=stored).theirs, DATA)
    both = pair(SESSION_SERIALIZATION_FORMAT=configured, **changes)
    write(both.ours, {"a": (1,)}, cookie)
    after = {"_permanent": True, **DATA, "a": [1]}
    if stored == "json" and changes:  # where tagged JSON is written, all JSON is that
        assert json.loads(both.record(cookie)) == {**after, "a": {" t": [1]}}
    else:
        assert both.record(cookie) == written(stored, after)
        assert read(both.theirs, cookie) == {**DATA, "a": [1]}


@pytest.mark.parametrize("form", ["json", "msgpack"])
def test_tags_are_plain_data_there_and_live_on_in_json(pair, form):
    """Every request there writes the record again, in the format of its settings."""
    both = pair(SESSION_SERIALIZATION_FORMAT=form, record_format="tagged")
    plain, tagged = {"a": {" t": [1, {" b": "eA=="}]}}, {"a": (1, b"x")}
    cookie = write(both.ours, tagged)
    assert read(both.theirs, cookie) == plain
    assert read(both.ours, cookie) == (tagged if form == "json" else plain)


MOMENT = datetime(2023, 11, 14, 22, 13, 20, 123456, tzinfo=UTC)
VALUES = {
    "tuple": ((1, ("x",)), [1, ["x"]]),
    "bytes": (b"\x00\xff", b"\x00\xff"),
    "datetime": (MOMENT, MOMENT),
    "datetime of a zone": (MOMENT.astimezone(timezone(timedelta(hours=5))), MOMENT),
    "integer keys": ({1: {2: 3}}, {1: {2: 3}}),
    "tuple keys": ({(1, "x"): 2}, {(1, "x"): 2}),
    "large integer": (2**64 - 1, 2**64 - 1),
}


@pytest.mark.parametrize(("value", "back"), VALUES.values(), ids=VALUES)
def test_value_in_msgpack_is_the_same_on_both_sides(pair, value, back):
    both = pair()
    cookies = [value_of(line) for line in write_to_both(both, {"x": value})]
    assert both.record(cookies[0]) == both.record(cookies[1])
    for cookie in cookies:
        found = [read(side, cookie)["x"] for side in (both.theirs, both.ours)]
        assert found == [back, back]
        assert [type(one) for one in found] == [type(back)] * 2


@pytest.mark.parametrize(
    ("config", "value"),
    [
        ({}, {1}),
        ({}, UUID(int=1)),
        ({}, MOMENT.replace(tzinfo=None)),
        (CONFIGS["json"], b"x"),
        (CONFIGS["json"], MOMENT),
        (CONFIGS["json"], {1: 2}),
    ],
    ids=repr,
)
def test_value_that_flask_session_would_change_is_refused_here(pair, config, value):
    both = pair(**config)
    cookie = write(both.theirs, DATA)
    before = both.record(cookie)
    with pytest.raises(ValueError, match=r"session\['x'\]\['y'\], .*record_format='tagged'"):
        write(both.ours, {"x": {"y": value}}, cookie)
    assert both.record(cookie) == before
    there = write(both.theirs, {"x": value})
    assert type(read(both.ours, there)["x"]) is not type(value) or read(both.ours, there)["x"] != value


def test_value_that_was_changed_there_does_not_keep_ours_from_writing(pair):
    both = pair()
    cookie = write(both.theirs, {"x": UUID(int=1), "d": MOMENT.replace(tzinfo=None)})
    write(both.ours, {"a": 1}, cookie)
    assert read(both.theirs, cookie) == {"x": str(UUID(int=1)), "d": MOMENT.replace(tzinfo=None).isoformat(), "a": 1}


texts = st.text(max_size=8)
scalars = st.none() | st.booleans() | st.integers(-(2**63), 2**64 - 1) | texts
moments = st.datetimes(timezones=st.just(UTC)).map(lambda moment: moment.replace(fold=0))
only_msgpack = st.binary(max_size=8) | st.floats() | moments


def sessions(leaves):
    def containers(values):
        return (
            st.lists(values, max_size=3)
            | st.lists(values, max_size=3).map(tuple)
            | st.dictionaries(texts, values, max_size=3)
        )

    return st.dictionaries(texts, st.recursive(leaves, containers, max_leaves=6), min_size=1, max_size=3)


@examples(30)
@given(data=sessions(scalars | only_msgpack))
def test_msgpack_of_either_side_is_the_same(both, data):
    there, here = map(value_of, write_to_both(both, data))
    assert both.record(here) == both.record(there)
    assert repr(read(both.ours, there)) == repr(read(both.theirs, here))


@examples(30)
@given(data=sessions(scalars))  # floats are the same numbers there, now and then in other letters
def test_json_of_either_side_is_the_same(both_in_json, data):
    both = both_in_json
    there, here = map(value_of, write_to_both(both, data))
    assert both.record(here) == both.record(there)
    assert repr(read(both.ours, there)) == repr(read(both.theirs, here))


DEEP = {
    "msgpack": at_depth(
        scalars | only_msgpack, keys=texts | st.integers(-(2**63), 2**64 - 1), beside=scalars | only_msgpack
    ),
    "json": at_depth(scalars, keys=texts, beside=scalars),
}


def as_kept(value):
    """Return what comes back of a value: a tuple as a list."""
    if isinstance(value, dict):
        return {key: as_kept(item) for key, item in value.items()}
    return [*map(as_kept, value)] if isinstance(value, list | tuple) else value


@pytest.mark.parametrize("form", DEEP)
@examples(40, derandomize=True)
@given(data=st.data())
def test_value_comes_back_from_any_depth(both, both_in_json, form, data):
    """S2: whoever writes the record, it is the same one, and both read from it what was put in."""
    pair, session = both if form == "msgpack" else both_in_json, data.draw(DEEP[form])
    cookies = [value_of(line) for line in write_to_both(pair, session)]
    assert pair.record(cookies[0]) == pair.record(cookies[1])
    found = [exactly(read(side, cookie)) for side in (pair.theirs, pair.ours) for cookie in cookies]
    assert found == [exactly(as_kept(session))] * 4


# Flashes


@pytest.mark.parametrize("config", [{}, CONFIGS["json"]], ids=["msgpack", "json"])
def test_flash_made_there_is_read_here(pair, config):
    both = pair(**config)
    cookie = value_of(both.theirs.line(None, lambda session: flask.flash("hi", "error")))
    found = []
    both.ours.line(cookie, lambda session: found.append(session.pop("_flashes")))
    assert found == [[["error", "hi"]]]
    assert read(both.theirs, cookie) == {}


@pytest.mark.parametrize("config", [{}, CONFIGS["json"]], ids=["msgpack", "json"])
def test_flash_made_here_is_read_there(pair, config):
    both = pair(**config)
    cookie = write(both.ours, {"_flashes": [("error", "hi")], "user": "ada"})
    found = []
    both.theirs.line(cookie, lambda session: found.extend(flask.get_flashed_messages(with_categories=True)))
    assert [tuple(one) for one in found] == [("error", "hi")]
    assert read(both.ours, cookie) == {"user": "ada"}


# What else may lie there


class Visible:
    """Loading a pickle of it shows."""

    def __reduce__(self):
        return exec, ("import sys; sys.modules['a_pickle_was_loaded'] = sys",)


def test_pickle_that_flask_session_would_load_is_no_session_here(pair, caplog):
    """ST-20."""
    both = pair()
    cookie = write(both.theirs, DATA)
    both.client.set(both.key(cookie), pickle.dumps({"user": Visible()}))
    assert read(both.ours, cookie) == {}
    assert "a_pickle_was_loaded" not in sys.modules
    assert ["a record in the store is no session" in record.message for record in caplog.records] == [True]
    assert read(both.theirs, cookie).keys() == {"user"}
    assert sys.modules.pop("a_pickle_was_loaded")


def test_empty_session_of_theirs_is_new_here(pair):
    both = pair()
    cookie = "A" * 43
    both.client.set(both.key(cookie), msgspec.msgpack.encode({}))
    assert read(both.ours, cookie) == {}
    assert write(both.ours, {"a": 1}, cookie) != cookie
