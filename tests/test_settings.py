"""DESIGN 1, W12, W14: settings are one frozen value, checked when made."""

import copy
import hashlib
import inspect
import json
import pickle
from datetime import timedelta
from types import SimpleNamespace
from typing import get_type_hints

import pytest

from asgi_flask_session import FlaskSessionASGI, JSONTag, SessionWarning, Settings, SettingsError, TaggedJSONSerializer
from asgi_flask_session.settings import FIELDS, SettingsFields

SECRET = "a-secret-of-the-tests-only"


def test_defaults_are_flasks():
    settings = Settings(secret=SECRET)
    assert (settings.cookie_name, settings.cookie_domain, settings.cookie_path) == ("session", None, "/")
    assert (settings.cookie_httponly, settings.cookie_secure, settings.cookie_samesite) == (True, False, None)
    assert (settings.permanent_lifetime, settings.refresh_each_request) == (timedelta(days=31), True)
    assert (settings.salt, settings.key_derivation, settings.max_cookie_size) == ("cookie-session", "hmac", 4093)
    assert settings.digest_method(b"x").digest() == hashlib.sha1(b"x").digest()


def test_defaults_of_sessions_in_a_store_are_flask_sessions():
    settings = Settings(secret=SECRET)
    assert (settings.store, settings.permanent, settings.lazy, settings.on_store_error) == (None, False, False, "503")
    assert (settings.store_timeout, settings.key_prefix) == (timedelta(seconds=2), "session:")
    assert (settings.record_format, settings.sign_ids, settings.id_bytes) == ("tagged", False, 32)
    assert (settings.protection, settings.trusted_proxies) == (False, 0)


class OwnSettings(Settings):
    """Of an application."""


def test_settings_are_frozen():
    settings = Settings(secret=SECRET)
    with pytest.raises(AttributeError, match=r"settings\.replace\(cookie_name=\.\.\.\)"):
        settings.cookie_name = "other"
    with pytest.raises(AttributeError, match=r"settings\.replace\(cookie_name=\.\.\.\)"):
        del settings.cookie_name
    assert settings.cookie_name == "session"


def test_keywords_are_the_fields():
    assert set(get_type_hints(SettingsFields)) | {"secret"} == set(FIELDS) == set(get_type_hints(Settings))


def test_equal_settings_are_equal():
    assert Settings(secret=SECRET) == Settings(secret=SECRET)
    assert Settings(secret=SECRET) != Settings(secret=SECRET, cookie_name="other")
    assert hash(Settings(secret=SECRET)) != hash(Settings(secret=SECRET, cookie_name="other"))
    assert Settings(secret=SECRET) != OwnSettings(secret=SECRET)
    assert len({Settings(secret=SECRET), Settings(secret=SECRET), OwnSettings(secret=SECRET)}) == 2


def test_replace_checks_anew():
    settings = Settings(secret=SECRET, cookie_name="a")
    assert settings.replace(cookie_path="/x").cookie_name == "a"
    assert settings.__replace__(cookie_name="b").cookie_name == "b"  # which copy.replace calls, from Python 3.13 on
    assert settings.replace("another-secret-of-tests").keys == ["another-secret-of-tests"]
    with pytest.raises(SettingsError):
        settings.replace(cookie_name="a b")


def test_unknown_setting_is_refused_with_the_known_ones():
    with pytest.raises(SettingsError, match="cookie_nam.*the settings are secret, .*cookie_name"):
        Settings(secret=SECRET, cookie_nam="x")


class SecretStr:
    """As pydantic's."""

    def get_secret_value(self):
        return SECRET


StarletteSecret = type("Secret", (), {"__str__": lambda self: SECRET, "__module__": "starlette.datastructures"})


@pytest.mark.parametrize("secret", [SecretStr(), StarletteSecret()], ids=["pydantic", "starlette"])
def test_secret_wrappers_are_unwrapped(secret):
    assert Settings(secret=secret, secret_fallbacks=[secret]).keys == [SECRET, SECRET]


WELL_KNOWN, SHORT = "well-known sample .*token_hex", "shorter than 16 bytes: .*token_hex"
WEAK = [
    ("dev", WELL_KNOWN),
    ("CHANGEME", WELL_KNOWN),
    (b"secret", WELL_KNOWN),
    ("Hard to guess string", WELL_KNOWN),
    ("fifteen-letters", SHORT),
    (b"\xff" * 15, SHORT),
]


@pytest.mark.parametrize(("secret", "message"), WEAK)
def test_weak_secret_warns_where_the_settings_are_made(secret, message):
    def make():
        settings = Settings(secret=secret)
        settings.replace(cookie_name="other")
        Settings.from_mapping({"SECRET_KEY": secret})
        FlaskSessionASGI(print, secret)

    with pytest.warns(SessionWarning, match=message) as caught:
        make()
    first = make.__code__.co_firstlineno + 1
    assert [(warning.filename, warning.lineno) for warning in caught] == [
        (__file__, line) for line in range(first, first + 4)
    ]


@pytest.mark.parametrize("module", ["asgi_flask_session.adapters.one", "quart_plugin.one"])
def test_weak_secret_warns_outside_of_our_packages(module):
    inside = {"__name__": module, "Settings": Settings}
    exec("def make(): return Settings(secret='dev')", inside)
    with pytest.warns(SessionWarning, match=WELL_KNOWN) as caught:
        inside["make"]()
    assert caught[0].filename == __file__


def test_weak_secret_warns_in_code_of_no_module():
    with pytest.warns(SessionWarning, match=WELL_KNOWN) as caught:
        exec(compile("Settings(secret='dev')", "typed in", "exec"), {"Settings": Settings})
    assert caught[0].filename == "typed in"


def test_keys_are_in_flasks_order():
    assert Settings(secret=SECRET, secret_fallbacks=["older", "old"]).keys == ["older", "old", SECRET]


def test_repr_has_no_secret():
    url = "redis://:the-password@localhost"
    shown = repr(Settings(secret=SECRET, secret_fallbacks=["old-secret"], salt="own-salt", store=url))
    assert not any(text in shown for text in (SECRET, "old-secret", "own-salt", "the-password"))
    assert shown.startswith("Settings(cookie_name='session', cookie_domain=None, cookie_path='/', ")
    assert repr(OwnSettings(secret=SECRET)).startswith("OwnSettings(cookie_name=")


@pytest.mark.parametrize("value", [60, 60.5, timedelta(minutes=1)], ids=str)
def test_lifetimes_are_kept_as_timedelta(value):
    settings = Settings(
        secret=SECRET,
        permanent_lifetime=value,
        refresh_after=value,
        absolute_lifetime=value,
        clock_skew=value,
        store_timeout=value,
    )
    expected = value if isinstance(value, timedelta) else timedelta(seconds=value)
    assert settings.permanent_lifetime == settings.refresh_after == settings.absolute_lifetime == expected
    assert settings.clock_skew == settings.store_timeout == expected


def test_values_are_kept_in_one_form():
    settings = Settings(
        secret=SECRET,
        secret_fallbacks=iter(["old"]),
        cookie_samesite="lax",
        exclude=iter(["/static"]),
        migrate_from=iter([print]),
    )
    assert (settings.secret_fallbacks, settings.cookie_samesite) == (("old",), "Lax")
    assert (settings.exclude, settings.migrate_from) == (("/static",), (print,))


# From Flask's names

CONFIG = {
    "SECRET_KEY": SECRET,
    "SECRET_KEY_FALLBACKS": ["old"],
    "SESSION_COOKIE_NAME": "s",
    "SESSION_COOKIE_DOMAIN": "example.com",
    "SESSION_COOKIE_PATH": "/p",
    "SESSION_COOKIE_HTTPONLY": False,
    "SESSION_COOKIE_SECURE": True,
    "SESSION_COOKIE_SAMESITE": "Lax",
    "SESSION_COOKIE_PARTITIONED": True,
    "PERMANENT_SESSION_LIFETIME": timedelta(days=1),
    "SESSION_REFRESH_EACH_REQUEST": False,
    "MAX_COOKIE_SIZE": 0,
    "SESSION_KEY_PREFIX": "app:",
    "SESSION_SERIALIZATION_FORMAT": "msgpack",
    "SESSION_USE_SIGNER": True,
    "SESSION_ID_LENGTH": 48,
    "OTHER": 1,
}


def test_from_mapping_reads_flasks_names():
    settings = Settings.from_mapping(CONFIG, refresh_after=5)
    assert settings == Settings(
        secret=SECRET,
        secret_fallbacks=["old"],
        cookie_name="s",
        cookie_domain="example.com",
        cookie_path="/p",
        cookie_httponly=False,
        cookie_secure=True,
        cookie_samesite="Lax",
        cookie_partitioned=True,
        permanent_lifetime=86400,
        refresh_each_request=False,
        max_cookie_size=0,
        key_prefix="app:",
        record_format="msgpack",
        sign_ids=True,
        id_bytes=48,
        refresh_after=5,
        serializer=settings.serializer,
    )


@pytest.mark.parametrize(
    ("config", "field", "value"),
    [
        ({"APPLICATION_ROOT": "/app"}, "cookie_path", "/app"),
        ({"APPLICATION_ROOT": "/app", "SESSION_COOKIE_PATH": "/x"}, "cookie_path", "/x"),
        ({"SESSION_COOKIE_PATH": None, "APPLICATION_ROOT": None}, "cookie_path", "/"),
        ({"SESSION_COOKIE_PARTITIONED": True}, "cookie_secure", True),
        ({"SECRET_KEY_FALLBACKS": None}, "secret_fallbacks", ()),
        ({"SESSION_COOKIE_SAMESITE": None}, "cookie_samesite", None),
        ({"PERMANENT_SESSION_LIFETIME": 60}, "permanent_lifetime", timedelta(seconds=60)),
        ({"SESSION_COOKIE_SECURE": 1}, "cookie_secure", True),
        ({"SESSION_COOKIE_HTTPONLY": 0}, "cookie_httponly", False),
        ({"SESSION_COOKIE_DOMAIN": ""}, "cookie_domain", None),
        ({"SESSION_COOKIE_DOMAIN": False}, "cookie_domain", None),
        ({"SESSION_COOKIE_PATH": "", "APPLICATION_ROOT": "/app"}, "cookie_path", "/app"),
        ({"MAX_COOKIE_SIZE": None}, "max_cookie_size", 0),
        ({"SESSION_KEY_PREFIX": ""}, "key_prefix", ""),
        ({"SESSION_SERIALIZATION_FORMAT": "json"}, "record_format", "json"),
        ({"SESSION_USE_SIGNER": 1}, "sign_ids", True),
        ({"SESSION_USE_SIGNER": 0}, "sign_ids", False),
        ({"SESSION_ID_LENGTH": 16}, "id_bytes", 16),
        ({"SESSION_PROTECTION": "strong"}, "protection", False),  # Flask-Login's
        ({"SESSION_TYPE": "redis", "SESSION_REDIS": object()}, "store", None),
    ],
    ids=str,
)
def test_from_mapping_follows_flasks_rules(config, field, value):
    assert getattr(Settings.from_mapping({"SECRET_KEY": SECRET, **config}), field) == value


@pytest.mark.parametrize(
    ("config", "message"),
    [
        ({"SESSION_KEY_PREFIX": None}, "key_prefix is None"),
        ({"SESSION_KEY_PREFIX": "my app:"}, "visible ASCII"),
        ({"SESSION_SERIALIZATION_FORMAT": "pickle"}, "'tagged' or 'msgpack' or 'json'"),
        ({"SESSION_USE_SIGNER": "yes"}, "sign_ids is 'yes'"),
        ({"SESSION_ID_LENGTH": 8}, "write 16 to 96"),
    ],
    ids=str,
)
def test_impossible_value_in_a_config_is_refused(config, message):
    with pytest.raises(SettingsError, match=message):
        Settings.from_mapping({"SECRET_KEY": SECRET, **config})


def test_secret_beside_a_config_without_one_is_taken():
    assert Settings.from_mapping({}, secret=SECRET).secret == SECRET


@pytest.mark.parametrize("config", [{}, {"SECRET_KEY": None}, {"SECRET_KEY": ""}], ids=str)
def test_config_without_a_secret_is_refused(config):
    with pytest.raises(SettingsError, match="SECRET_KEY"):
        Settings.from_mapping(config)


class TagSet(JSONTag):
    key = " s"

    def check(self, value):
        return isinstance(value, set)

    def to_json(self, value):
        return sorted(value)

    def to_python(self, value):
        return set(value)


def test_from_flask_takes_the_interface_too():
    serializer = SimpleNamespace(dumps=json.dumps, loads=json.loads)
    interface = SimpleNamespace(
        salt="own", key_derivation="concat", digest_method=hashlib.sha256, serializer=serializer
    )
    app = SimpleNamespace(config={"SECRET_KEY": SECRET}, session_interface=interface)
    settings = Settings.from_flask(app, cookie_name="mine")
    assert (settings.salt, settings.key_derivation, settings.digest_method) == ("own", "concat", hashlib.sha256)
    assert settings.serializer is serializer
    assert settings.cookie_name == "mine"


def test_from_flask_asks_the_interface_for_its_cookie():
    class Interface:
        def get_cookie_name(self, app):
            return app.name

        def get_cookie_domain(self, app):
            return "example.com"

        def get_cookie_secure(self, app):
            return True

    app = SimpleNamespace(config={"SECRET_KEY": SECRET}, session_interface=Interface(), name="mine")
    settings = Settings.from_flask(app)
    assert (settings.cookie_name, settings.cookie_domain, settings.cookie_path) == ("mine", "example.com", "/")
    assert settings.cookie_secure
    app.session_interface = SimpleNamespace(
        get_cookie_path=lambda app: "/" + app.name,
        get_cookie_httponly=lambda app: False,
        get_cookie_secure=lambda app: True,
        get_cookie_partitioned=lambda app: True,
        get_cookie_samesite=lambda app: "Lax",
    )
    settings = Settings.from_flask(app)
    assert (settings.cookie_path, settings.cookie_samesite) == ("/mine", "Lax")
    assert (settings.cookie_httponly, settings.cookie_secure, settings.cookie_partitioned) == (False, True, True)


def test_from_flask_asks_an_interface_of_ours_for_its_settings():
    own = Settings(secret=SECRET, cookie_name="mine", salt="own")
    interface = SimpleNamespace(settings_of=lambda app: own if app.name == "app" else None, salt="other")
    app = SimpleNamespace(config={}, session_interface=interface, name="app")
    assert Settings.from_flask(app, cookie_path="/x") == own.replace(cookie_path="/x")


def interface_of(module, **attributes):
    return type("RedisSessionInterface", (), {"__module__": module, **attributes})()


def test_from_flask_takes_what_flask_session_was_told():
    encoder = type("Encoder", (), {"__module__": "msgspec.json"})()
    told = {"key_prefix": "app:", "use_signer": True, "permanent": True, "sid_length": 24}
    serializer = SimpleNamespace(encoder=encoder, encode=None, decode=None)
    interface = interface_of("flask_session.redis.redis", serializer=serializer, **told)
    settings = Settings.from_flask(SimpleNamespace(config={"SECRET_KEY": SECRET}, session_interface=interface))
    assert (settings.key_prefix, settings.sign_ids, settings.permanent, settings.id_bytes) == ("app:", True, True, 24)
    assert (settings.record_format, settings.salt) == ("json", "cookie-session")
    assert isinstance(settings.serializer, TaggedJSONSerializer)


@pytest.mark.parametrize(
    "attributes",
    [
        *({"serializer": SimpleNamespace(encoder=interface_of(name))} for name in ("msgspec.msgpack", "own")),
        {"serializer": object()},
        {},
    ],
    ids=["msgspec.msgpack", "own", "no encoder", "no serializer"],
)
def test_from_flask_takes_flask_sessions_other_encoder_for_msgpack(attributes):
    interface = interface_of("flask_session.redis.redis", **attributes)
    settings = Settings.from_flask(SimpleNamespace(config={"SECRET_KEY": SECRET}, session_interface=interface))
    assert settings.record_format == "msgpack"


def test_from_flask_takes_what_quart_session_was_told():
    interface = interface_of("quart_session.sessions", key_prefix="q:", use_signer=True, permanent=False)
    settings = Settings.from_flask(SimpleNamespace(config={"SECRET_KEY": SECRET}, session_interface=interface))
    assert (settings.key_prefix, settings.sign_ids, settings.permanent, settings.id_bytes) == ("q:", True, False, 32)
    assert (settings.record_format, settings.protection, settings.trusted_proxies) == ("tagged", False, 0)


@pytest.mark.parametrize("protection", [True, False, "strong", None])
@pytest.mark.parametrize("proxied", [True, False, "X-Real-IP", None])
def test_from_flask_takes_quart_sessions_protection(protection, proxied):
    told = {"SESSION_PROTECTION": protection, "SESSION_REVERSE_PROXY": proxied}
    interface = interface_of("quart_session.sessions", _config=told)
    settings = Settings.from_flask(SimpleNamespace(config={"SECRET_KEY": SECRET}, session_interface=interface))
    assert (settings.protection, settings.trusted_proxies) == (protection is True, int(proxied is True))


def test_from_flask_asks_no_other_interface_of_ids():
    interface = interface_of("own", key_prefix="q:", use_signer=True, permanent=True)
    settings = Settings.from_flask(SimpleNamespace(config={"SECRET_KEY": SECRET}, session_interface=interface))
    assert (settings.key_prefix, settings.sign_ids, settings.permanent) == ("session:", False, False)


def test_from_flask_with_another_interface_has_flasks_signing():
    app = SimpleNamespace(config={"SECRET_KEY": SECRET}, session_interface=object())
    assert Settings.from_flask(app).salt == "cookie-session"


def test_from_env_reads_json_where_it_is_json(monkeypatch):
    for name, text in {
        "APP_SECRET_KEY": "12345678901234567890",
        "APP_SECRET_KEY_FALLBACKS": '["old"]',
        "APP_SESSION_COOKIE_SECURE": "true",
        "APP_SESSION_COOKIE_NAME": "s",
        "APP_PERMANENT_SESSION_LIFETIME": "60",
        "APP_APPLICATION_ROOT": "/x",
        "APP_OTHER": "1",
    }.items():
        monkeypatch.setenv(name, text)
    settings = Settings.from_env("APP_", refresh_after=5)
    assert settings.keys == ["old", "12345678901234567890"]
    assert (settings.cookie_secure, settings.cookie_name, settings.cookie_path) == (True, "s", "/x")
    assert (settings.permanent_lifetime, settings.refresh_after) == (timedelta(minutes=1), timedelta(seconds=5))


@pytest.mark.parametrize(
    ("text", "secret"), [('"quoted-secret-of-tests"', "quoted-secret-of-tests"), ("[1]" * 9, "[1]" * 9)]
)
def test_from_env_takes_the_secret_as_text(monkeypatch, text, secret):
    monkeypatch.setenv("FLASK_SECRET_KEY", text)
    assert Settings.from_env().secret == secret


def test_python_text_of_a_boolean_in_the_environment_is_refused(monkeypatch):
    monkeypatch.setenv("FLASK_SECRET_KEY", SECRET)
    monkeypatch.setenv("FLASK_SESSION_COOKIE_SECURE", "False")
    with pytest.raises(SettingsError, match="cookie_secure is 'False': write True or False"):
        Settings.from_env()


# What is refused, and what to write instead


class OwnStore:
    """Of the application: no method does anything here."""

    get = create = replace = touch = delete = aclose = lambda self: None


REFUSED = [
    ({"secret": None}, "long random str or bytes"),
    ({"secret": 5}, "secret is a int"),
    ({"secret": type("Secret", (), {"__module__": "own"})()}, "secret is a Secret"),
    ({"secret": type("URL", (), {"__module__": "starlette.datastructures"})()}, "secret is a URL"),
    ({"secret": "\ud800" * 20}, "secret has surrogates"),
    ({"secret_fallbacks": ["\ud800"]}, "secret_fallbacks has surrogates"),
    ({"secret_fallbacks": 5}, "secret_fallbacks is a int"),
    ({"secret": "  "}, "empty"),
    ({"secret": b""}, "empty"),
    ({"secret_fallbacks": "old"}, r"write \['old key'\]"),
    ({"secret_fallbacks": b"old"}, r"write \['old key'\]"),
    ({"secret_fallbacks": ["old", ""]}, "secret_fallbacks is empty"),
    ({"secret_fallbacks": [None]}, "secret_fallbacks is a NoneType"),
    *(({"cookie_name": name}, "RFC 9110") for name in ("", "a b", "a;b", "a=b", "a\n", "é", "a,b", None, 1)),
    *(({"cookie_domain": d}, "cookie_domain") for d in ("", "a b", "x; Path=/", "a\r\nb", "a/b", "." * 3, "a" * 64, 1)),
    *(({"cookie_path": path}, "cookie_path") for path in ("", "x", None, "/;x", "/\x00", "/\n", "/" + "x" * 1024)),
    ({"cookie_samesite": "Whatever"}, "'Lax', 'Strict'"),
    ({"cookie_samesite": False}, "'Lax', 'Strict'"),
    ({"cookie_samesite": "None"}, "needs cookie_secure=True"),
    ({"cookie_partitioned": True}, "needs cookie_secure=True"),
    ({"cookie_name": "__Secure-s"}, "needs cookie_secure=True"),
    ({"cookie_name": "__host-s"}, "needs cookie_secure=True"),
    ({"cookie_name": "__Host-s", "cookie_secure": True, "cookie_path": "/x"}, "cookie_path='/'"),
    ({"cookie_name": "__Host-s", "cookie_secure": True, "cookie_domain": "x.com"}, "cookie_domain=None"),
    *(({name: "false"}, "write True or False") for name in ("cookie_secure", "cookie_httponly", "detect_nested")),
    ({"refresh_each_request": 1}, "write True or False"),
    *(({"permanent_lifetime": v}, "permanent_lifetime is") for v in (0, -1, "1 day", None, True, float("nan"), 10**12)),
    ({"permanent_lifetime": timedelta.max}, "at most 365000 days"),
    *(({"refresh_after": v}, "refresh_after is") for v in (-5, 0, timedelta(0), "")),
    ({"absolute_lifetime": 0}, "absolute_lifetime is"),
    ({"cookie_path": "/\ud800"}, "surrogates"),
    ({"cookie_path": "/" + "Ā" * 170 + "x" * 4}, "over 1024 bytes"),
    ({"cookie_domain": ":80"}, "cookie_domain"),
    ({"serializer": TaggedJSONSerializer}, "dumps"),
    ({"absolute_lifetime": "x"}, "absolute_lifetime is"),
    ({"clock_skew": -1}, "clock_skew is"),
    ({"clock_skew": 86_401}, "at most 1 days"),
    *(({"max_cookie_size": v}, "whole number") for v in (-1, 1.5, None, True, "4093")),
    ({"remember": -1}, "whole number"),
    ({"on_large_cookie": "ignore"}, "'warn' or 'raise'"),
    ({"vary": "never"}, "'accessed' or 'always'"),
    ({"key_derivation": "pbkdf2"}, "'hmac' or 'concat'"),
    *(({"salt": v}, "cookie-session") for v in (None, "\ud800")),
    *(({"digest_method": v}, "hashlib.sha256") for v in ("sha256", None, len, lambda: None)),
    ({"serializer": object()}, "loads reads what dumps wrote"),
    ({"scope_key": ""}, "scope_key"),
    ({"exclude": "/static"}, r"write \['/static'\]"),
    ({"exclude": ["static"]}, "start with '/'"),
    ({"exclude": [None]}, "start with '/'"),
    ({"exclude": 5}, "exclude"),
    ({"is_revoked": 5}, "function of"),
    ({"migrate_from": len}, "list of functions"),
    ({"migrate_from": ["x"]}, "list of functions"),
    ({"migrate_from": 5}, "migrate_from"),
    ({"session_class": dict}, "subclass of Session"),
    ({"session_class": None}, "subclass of Session"),
    *(({name: 1}, "write True or False") for name in ("permanent", "lazy", "sign_ids", "protection")),
    *(({"protection": v}, "protection is .*write True or False") for v in ("basic", "strong", None)),
    ({"store": OwnStore}, r"store is a class: write OwnStore\(...\) or OwnStore.from_url\(url\)"),
    ({"store": 5}, "store is a int without get, create, replace, touch, delete, aclose: .*'redis://localhost'"),
    ({"store": {}}, "store is a dict without create, replace, touch, delete, aclose"),
    ({"store": b"redis://localhost"}, "store is a bytes without get"),
    *(({"on_store_error": v}, "'503' or 'raise'") for v in (503, "500", None, "")),
    *(({"store_timeout": v}, "store_timeout is") for v in (0, 0.001, -1, 301, "2 s", None, True, timedelta(minutes=6))),
    *(({"key_prefix": v}, "up to 100 visible ASCII") for v in ("a b", "é", "a\r\n", "\x00", "\x7f", "x" * 101)),
    *(({"key_prefix": v}, "key_prefix is") for v in (None, b"session:", 1)),
    *(({"record_format": v}, "'tagged' or 'msgpack' or 'json'") for v in ("pickle", "JSON", None)),
    *(({"id_bytes": v}, "write 16 to 96, best 32") for v in (0, 15, 97)),
    *(({"id_bytes": v}, "whole number") for v in (-1, 32.0, "32", None, True)),
    *(({"trusted_proxies": v}, "whole number") for v in (-1, 1.5, "1", None, True)),
]


@pytest.mark.parametrize(
    ("given", "message"), REFUSED, ids=[repr(given)[:70] + str(i) for i, (given, _) in enumerate(REFUSED)]
)
def test_impossible_setting_is_refused(given, message):
    """W12, K4, K20, AS-10."""
    with pytest.raises(SettingsError, match=message):
        Settings(**{"secret": SECRET, **given})


@pytest.mark.parametrize(
    "given",
    [
        {"cookie_name": "__Host-s", "cookie_secure": True},
        {"secret": "a" * 16},
        {"secret": b"\xff" * 16},
        {"cookie_samesite": "none", "cookie_secure": True},
        {"cookie_samesite": "STRICT"},
        {"cookie_path": "/" + "x" * 1023},
        {"cookie_path": "/" + "Ā" * 170 + "x" * 3},
        {"cookie_domain": "X"},
        {"cookie_domain": "example.com:80"},
        {"salt": b"\xff"},
        {"exclude": lambda scope: True},
        {"is_revoked": lambda session, signed_at: True},
        {"cookie_domain": "localhost"},
        {"cookie_domain": ".example.com"},
        {"max_cookie_size": 0},
        {"secret_fallbacks": None},
        {"exclude": ["/"]},
        {"digest_method": hashlib.sha512},
        {"store": "redis://localhost", "store_timeout": 0.01},
        {"store": "no URL, which is found when it is opened"},
        {"store_timeout": timedelta(minutes=5)},
        {"key_prefix": ""},
        {"key_prefix": "!~" * 50},
        {"id_bytes": 16},
        {"id_bytes": 96},
        {"trusted_proxies": 20},
        {"record_format": "msgpack"},
        {"lazy": True},
    ],
    ids=str,
)
def test_unusual_setting_that_works_is_taken(given):
    Settings(**{"secret": SECRET, **given})


def test_store_of_the_application_is_kept_as_it_is():
    store = OwnStore()
    assert Settings(secret=SECRET, store=store).store is store
    assert Settings(secret=SECRET, store=store).replace(cookie_name="other").store is store


def test_settings_travel_to_another_process():
    settings = Settings(secret=SECRET, cookie_name="s")
    assert pickle.loads(pickle.dumps(settings)).cookie_name == "s"


@pytest.mark.parametrize("copied", [copy.copy, copy.deepcopy])
def test_a_copy_is_as_frozen(copied):
    made = copied(Settings(secret=SECRET, cookie_name="s"))
    assert made.cookie_name == "s"
    with pytest.raises(AttributeError):
        made.cookie_name = "other"


def test_signature_names_every_setting():
    assert "secret" in inspect.signature(Settings).parameters
