"""S2, S9: the real Quart-Session and ours on one Redis, each with the sessions of the other."""

import asyncio
import json
from datetime import UTC, datetime, timedelta
from uuid import UUID

import pytest
from driver import NOW, SECRET, app_that, request
from hypothesis import given
from itsdangerous import Signer
from markupsafe import Markup
from peers.flask_side import clock_at
from peers.sessions import any_leaf, as_read, at_depth, exactly, examples, in_order, sessions

from asgi_flask_session import FlaskSessionASGI, Settings
from asgi_flask_session.stores.redis import RedisStore

quart = pytest.importorskip("quart")
quart_session = pytest.importorskip("quart_session")
redis = pytest.importorskip("redis")

# Quart-Session calls what redis-py wants to give up.
pytestmark = pytest.mark.filterwarnings("ignore:Call to deprecated:DeprecationWarning:quart_session")

CONFIGS = {
    "as it comes": {},
    "prefix and lifetime": {
        "SESSION_KEY_PREFIX": "app:",
        "SESSION_COOKIE_NAME": "id",
        "PERMANENT_SESSION_LIFETIME": timedelta(hours=1),
    },
    "not permanent": {"SESSION_PERMANENT": False},
}
DATA = {"user": "ada", "cart": [1, {"n": 2.5}], "é": None}
HERE, ELSEWHERE = "192.0.2.1", "203.0.113.66"


class Theirs:
    """A Quart app of one view on Quart-Session, which does with the session what it is asked to."""

    def __init__(self, url, runner, **config):
        self.app = quart.Quart(__name__)
        self.app.config |= {
            "SECRET_KEY": SECRET,
            "TESTING": True,
            "SESSION_TYPE": "redis",
            "SESSION_URI": url,
            **config,
        }
        quart_session.Session(self.app)
        self.app.add_url_rule("/", view_func=self.view)
        self.runner, self.name = runner, self.app.config["SESSION_COOKIE_NAME"]
        runner.run(self.app.session_interface.create(self.app))

    async def view(self):
        done = self.act(quart.session)
        if asyncio.iscoroutine(done):
            await done
        return ""

    def line(self, cookie, act, address=HERE, headers=()):
        """Return the Set-Cookie line of a request, or None."""
        self.act = act
        sent = [*headers, *([] if cookie is None else [("Cookie", f"{self.name}={cookie}")])]
        with clock_at(NOW, quart.sessions):
            answer = self.runner.run(
                self.app.test_client(use_cookies=False).get("/", headers=sent, scope_base={"client": (address, 1)})
            )
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

    def line(self, cookie, act, address=HERE, headers=()):
        self.act = act
        sent = [(name.lower().encode(), value.encode()) for name, value in headers]
        answer = request(self.app, cookie, name=self.name, run=self.runner.run, client=(address, 1), headers=sent)
        assert answer.status == 200
        return answer.set_cookie


class Pair:
    """Both on one Redis."""

    def __init__(self, url, client, store, runner, **config):
        changes = {name: config.pop(name) for name in list(config) if name.islower()}
        self.client = client
        self.theirs = Theirs(url, runner, **config)
        self.ours = Ours(self.theirs, store, runner, **changes)

    def key(self, cookie):
        return self.ours.settings.key_prefix + cookie

    def record(self, cookie):
        return self.client.get(self.key(cookie))


def write(side, data, cookie=None, **more):
    """Return the cookie of a session with *data* in it."""
    return value_of(side.line(cookie, lambda session: session.update(data), **more))


def read(side, cookie, **more):
    """Return what a side reads from a cookie, but for the keys of Quart-Session's own."""
    seen = {}
    side.line(cookie, seen.update, **more)
    return {key: seen[key] for key in seen if key not in ("_permanent", "_addr")}


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
def pair(redis_server, client, store, runner):
    made = []

    def make(**config):
        made.append(Pair(redis_server.url, client, store, runner, **config))
        return made[-1]

    yield make
    for one in made:
        runner.run(one.theirs.app.session_interface.backend.aclose())


@pytest.fixture(scope="module")
def both(pair):
    return pair()


def test_settings_are_those_that_quart_session_was_told(pair):
    settings = pair(SESSION_KEY_PREFIX="app:", SESSION_PERMANENT=False, SESSION_USE_SIGNER=True).ours.settings
    assert (settings.key_prefix, settings.permanent, settings.sign_ids) == ("app:", False, True)
    assert (settings.record_format, settings.id_bytes) == ("tagged", 32)


@pytest.mark.parametrize("protection", [True, False, "strong"])
@pytest.mark.parametrize("proxied", [True, False])
def test_protection_is_that_of_quart_session(pair, protection, proxied):
    settings = pair(SESSION_PROTECTION=protection, SESSION_REVERSE_PROXY=proxied).ours.settings
    assert (settings.protection, settings.trusted_proxies) == (protection is True, int(proxied))


def test_settings_of_quart_session_untold(pair):
    settings = pair().ours.settings
    assert (settings.key_prefix, settings.permanent, settings.sign_ids) == ("session:", True, False)
    assert (settings.record_format, settings.protection) == ("tagged", False)


# A life on both sides


@pytest.mark.parametrize("config", CONFIGS.values(), ids=CONFIGS)
def test_session_begun_there_is_read_changed_and_ended_here(pair, config):
    both = pair(**config)
    cookie = write(both.theirs, DATA)
    assert UUID(cookie).version == 4
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
def test_record_lifetime_and_line_are_those_of_quart_session(pair, config):
    """S2: but for the order of the keys, the random id and the address."""
    both = pair(**config)
    lines = [side.line(None, lambda session: session.update(DATA)) for side in (both.theirs, both.ours)]
    there, here = map(value_of, lines)
    expected = {"_permanent": True, **DATA} if both.ours.settings.permanent else DATA
    assert json.loads(both.record(there)) == {**expected, "_addr": HERE}
    assert both.record(here) == json.dumps(expected, sort_keys=True, separators=(",", ":")).encode()
    assert lines[0].replace(there, "") == lines[1].replace(here, "")
    lifetime = both.ours.settings.permanent_lifetime.total_seconds()
    for cookie in (here, there):
        assert lifetime - 5 <= both.client.ttl(both.key(cookie)) <= lifetime


def test_id_given_here_is_followed_there_and_the_old_one_is_dead(pair):
    both = pair()
    old = write(both.theirs, DATA)
    new = value_of(both.ours.line(old, lambda session: session.regenerate()))
    assert new not in (None, old)
    assert read(both.theirs, new) == read(both.ours, new) == DATA
    assert read(both.theirs, old) == read(both.ours, old) == {}


def test_id_that_the_store_does_not_have_is_adopted_by_nobody(pair):
    both = pair()
    unknown = "0c2f0d54-7b1c-4c1b-9f0c-8b7a2a4c9d3e"
    for side in (both.theirs, both.ours):
        assert write(side, {"a": 1}, unknown) not in (None, unknown)
    assert both.record(unknown) is None


def test_read_there_and_here_leaves_the_record_as_it_is(pair):
    both = pair()
    for cookie in (write(both.theirs, DATA), write(both.ours, DATA)):
        record = both.record(cookie)
        for side in (both.theirs, both.ours):
            read(side, cookie)
        assert both.record(cookie) == record


def test_logout_there_during_a_request_here_stays_one(pair):
    both = pair()
    cookie = write(both.theirs, DATA)

    async def app(scope, receive, send):
        scope["session"]["late"] = True
        await there.delete(key=both.key(cookie), app=both.theirs.app)
        await send({"type": "http.response.start", "status": 200, "headers": []})

    there = both.theirs.app.session_interface
    ours = FlaskSessionASGI(app, settings=both.ours.settings)
    assert request(ours, cookie, run=both.ours.runner.run).set_cookies == []
    assert both.record(cookie) is None


# Values

MOMENT = datetime(2023, 11, 14, 22, 13, 20, tzinfo=UTC)
VALUES = [(1, ("x",)), b"\x00\xff", MOMENT, UUID(int=1), Markup("<b>"), {" t": [1]}, [{"a": (b"",)}], "é\u2028", 2**80]


@pytest.mark.parametrize("value", VALUES, ids=repr)
def test_value_is_the_same_on_both_sides(pair, value):
    both = pair()
    cookies = write(both.theirs, {"x": value}), write(both.ours, {"x": value})
    text = [json.loads(both.record(cookie))["x"] for cookie in cookies]
    assert text[0] == text[1]
    for cookie in cookies:
        assert exactly(read(both.ours, cookie)) == exactly(read(both.theirs, cookie)) == exactly({"x": value})


@examples(40)
@given(data=sessions)
def test_session_of_either_side_is_the_same(both, data):
    data = {key: item for key, item in data.items() if key not in ("_permanent", "_addr")} or {"a": 1}
    here, there = write(both.ours, data), write(both.theirs, data)
    for cookie in (here, there):
        mine, its = read(both.ours, cookie), read(both.theirs, cookie)
        assert exactly(mine) == exactly(its)


@examples(60, derandomize=True)
@given(data=at_depth(any_leaf))
def test_value_comes_back_from_any_depth(both, data):
    """R6: whoever writes the record, both read from it what was put in."""
    for writer, expected in ((both.theirs, as_read(data)), (both.ours, in_order(as_read(data)))):
        cookie = write(writer, data)
        assert [exactly(read(side, cookie)) for side in (both.theirs, both.ours)] == [exactly(expected)] * 2


def test_record_that_quart_session_cannot_read_is_no_session_here_either(pair, caplog):
    both = pair()
    for damaged in ("", "{", "[1]", '{"a":{" u":1}}'):
        cookie = write(both.ours, DATA)
        both.client.set(both.key(cookie), damaged)
        assert read(both.ours, cookie) == {}
    assert ["a record in the store is no session" in record.message for record in caplog.records] == [True]


# Flashes


def test_flash_made_there_is_read_here(pair):
    both = pair()
    cookie = value_of(both.theirs.line(None, lambda session: quart.flash("hi", "error")))
    found = []
    both.ours.line(cookie, lambda session: found.append(session.pop("_flashes")))
    assert found == [[("error", "hi")]]
    assert read(both.theirs, cookie) == {}


def test_flash_made_here_is_read_there(pair):
    both = pair()
    cookie = write(both.ours, {"_flashes": [("error", "hi")], "user": "ada"})
    found = []
    both.theirs.line(cookie, lambda session: found.extend(quart.get_flashed_messages(with_categories=True)))
    assert found == [("error", "hi")]
    assert read(both.ours, cookie) == {"user": "ada"}


# The address of the client


def address_in(both, cookie):
    return json.loads(both.record(cookie)).get("_addr")


def test_address_survives_a_write_here_without_protection(pair):
    both = pair()
    cookie = write(both.theirs, DATA)
    assert write(both.ours, {"a": 1}, cookie, address=ELSEWHERE) == cookie
    assert address_in(both, cookie) == HERE
    assert read(both.ours, cookie, address=ELSEWHERE) == {**DATA, "a": 1}


def test_session_begun_there_is_bound_to_its_address_here(pair):
    """ST-63: the record stays."""
    both = pair(SESSION_PROTECTION=True, protection=True)
    cookie = write(both.theirs, DATA)
    seen = {}
    assert both.ours.line(cookie, seen.update) is not None
    assert seen == {**DATA, "_permanent": True}
    assert read(both.ours, cookie, address=ELSEWHERE) == {}
    assert write(both.ours, {"a": 1}, cookie, address=ELSEWHERE) not in (None, cookie)
    assert read(both.ours, cookie) == read(both.theirs, cookie) == DATA
    write(both.ours, {"a": 1}, cookie)
    assert address_in(both, cookie) == HERE


def test_session_begun_here_is_bound_to_its_address_there(pair):
    both = pair(SESSION_PROTECTION=True, protection=True)
    cookie = write(both.ours, DATA)
    assert address_in(both, cookie) == HERE
    assert read(both.theirs, cookie) == DATA
    assert read(both.theirs, cookie, address=ELSEWHERE) == {}
    assert both.record(cookie) is None  # which Quart-Session deletes


def test_session_begun_here_is_bound_to_the_same_address_behind_a_proxy(pair):
    both = pair(SESSION_PROTECTION=True, SESSION_REVERSE_PROXY=True, protection=True, trusted_proxies=1)
    proxied = {"address": "10.0.0.1", "headers": [("X-Forwarded-For", HERE)]}
    for side in (both.theirs, both.ours):
        cookie = write(side, DATA, **proxied)
        assert address_in(both, cookie) == HERE
        assert read(both.ours, cookie, **proxied) == read(both.theirs, cookie, **proxied) == DATA
        forged = {"address": "10.0.0.1", "headers": [("X-Forwarded-For", f"{HERE}, {ELSEWHERE}")]}
        assert read(both.ours, cookie, **forged) == read(both.ours, cookie, address="10.0.0.1") == {}


def test_session_without_an_address_is_bound_by_the_next_write_here(pair):
    both = pair(SESSION_PROTECTION=True, protection=True)
    cookie = "0c2f0d54-7b1c-4c1b-9f0c-8b7a2a4c9d3f"
    both.client.set(both.key(cookie), b'{"user":"ada"}', ex=60)
    assert read(both.ours, cookie) == {"user": "ada"}
    write(both.ours, {"a": 1}, cookie)
    assert address_in(both, cookie) == HERE
    assert read(both.theirs, cookie) == {"user": "ada", "a": 1}


@pytest.mark.parametrize("address", ["::ffff:192.0.2.1", "fe80::1%eth0", "2001:db8::1"])
def test_address_is_the_same_however_quarts_server_spells_it(pair, address):
    both = pair(SESSION_PROTECTION=True, protection=True)
    cookie = write(both.theirs, DATA, address=address)
    assert read(both.ours, cookie, address=address) == DATA
    write(both.ours, {"a": 1}, cookie, address=address)
    assert read(both.theirs, cookie, address=address) == {**DATA, "a": 1}


# Signed ids, which today's Werkzeug lets Quart-Session read but not write


def test_signed_id_is_read_on_both_sides(pair):
    both = pair(SESSION_USE_SIGNER=True)
    signer = Signer(SECRET, salt="quart-session", key_derivation="hmac")
    sid = "0c2f0d54-7b1c-4c1b-9f0c-8b7a2a4c9d30"
    both.client.set(both.key(sid), b'{"user":"ada"}', ex=60)
    assert read(both.theirs, signer.sign(sid).decode()) == read(both.ours, signer.sign(sid).decode()) == {"user": "ada"}
    for cookie in (
        sid,
        f"{sid}.x",
        Signer("another key", salt="quart-session", key_derivation="hmac").sign(sid).decode(),
    ):
        assert read(both.theirs, cookie) == read(both.ours, cookie) == {}
