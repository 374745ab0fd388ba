"""URLs of Redis: one server, the sentinels that know it, or the nodes of a Cluster."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl, unquote, urlsplit

from ..errors import SettingsError

ONE, SENTINEL, CLUSTER = "", "sentinel", "cluster"

_PORTS = {ONE: 6379, SENTINEL: 26379, CLUSTER: 6379}
_FORMS = {
    ONE: "redis://[[user]:password@]host[:port][/db]",
    SENTINEL: "redis+sentinel://[[user]:password@]host:port,host2:port/service[/db]",
    CLUSTER: "redis+cluster://[[user]:password@]host:port,host2:port",
}


@dataclass(frozen=True)
class Target:
    """What a URL says. Its options hold only what was written there."""

    kind: str
    tls: bool
    addresses: tuple[tuple[str, int], ...]
    service: str
    db: int
    login: Mapping[str, str] = field(repr=False)  # username, password
    options: Mapping[str, Any] = field(repr=False)


def parse(url: str) -> Target:
    """Read a URL; raises SettingsError, whose message quotes none of it, since it may hold a password."""
    try:
        parts = urlsplit(url)
    except ValueError:
        raise SettingsError("the store's URL has a bracket that ends nowhere: write %5B for [ and %5D for ]") from None
    scheme, _, kind = parts.scheme.partition("+")
    if scheme not in ("redis", "rediss") or kind not in _FORMS:
        raise SettingsError(f"the store's URL is none of Redis: write {' or '.join(_FORMS.values())}")
    form = f"write {_FORMS[kind].replace('redis', scheme, 1)}, with special characters as %XX"
    login, _, hosts = parts.netloc.rpartition("@")
    username, _, password = login.partition(":")
    path = [unquote(part) for part in parts.path.removeprefix("/").split("/")]
    options = _options(parts.query)
    service = path.pop(0) if kind == SENTINEL else ""
    db = path.pop(0) if path else ""
    if parts.fragment or path or (kind == SENTINEL and not service):
        raise SettingsError(f"the store's URL has another form: {form}")
    if db and (kind == CLUSTER or not (db.isascii() and db.isdigit())):
        raise SettingsError(f"the database in the store's URL is no number, or a Cluster's, which has one only: {form}")
    try:
        several = hosts.split(",") if kind else [hosts]
        addresses = tuple(_address(host, _PORTS[kind]) for host in several) if hosts else (("localhost", _PORTS[kind]),)
    except ValueError:
        raise SettingsError(f"the store's URL has a host or port that is none: {form}") from None
    return Target(
        kind=kind,
        tls=scheme == "rediss",
        addresses=addresses,
        service=service,
        db=int(db or 0),
        login={
            name: unquote(text) for name, text in (("username", username), ("password", password)) if text
        },
        options=options,
    )  # fmt: skip


def _address(text: str, default: int) -> tuple[str, int]:
    parts = urlsplit(f"//{text}")
    port = parts.port  # raises ValueError for what is no port
    if not parts.hostname or parts.path or "," in text:
        raise ValueError(text)
    return unquote(parts.hostname), default if port is None else port


def _positive(text: str) -> int:
    if int(text) < 1:
        raise ValueError(text)
    return int(text)


def _yes_or_no(text: str) -> bool:
    return {"true": True, "yes": True, "1": True, "false": False, "no": False, "0": False}[text.lower()]


def _certificates(text: str) -> str:
    return {"required": "required", "none": "none"}[text.lower()]


def _file(text: str) -> str:
    if not Path(text).is_file():
        raise ValueError(text)
    return text


_OPTIONS: dict[str, tuple[Callable[[str], Any], str]] = {
    "max_connections": (_positive, "a number of 1 or more"),
    "client_name": (str, "a name"),
    "ssl_ca_certs": (_file, "the path of a file that is there"),
    "ssl_certfile": (_file, "the path of a file that is there"),
    "ssl_keyfile": (_file, "the path of a file that is there"),
    "ssl_cert_reqs": (_certificates, "required or none"),
    "ssl_check_hostname": (_yes_or_no, "true or false"),
    "sentinel_username": (str, "a name"),
    "sentinel_password": (str, "a password"),
}


def _options(query: str) -> dict[str, Any]:
    options = {}
    for name, text in parse_qsl(query, keep_blank_values=True):
        if name not in _OPTIONS:
            raise SettingsError(f"the store's URL has the option {name!r}: write one of {', '.join(_OPTIONS)}")
        convert, wanted = _OPTIONS[name]
        try:
            options[name] = convert(text)
        except (ValueError, KeyError):
            raise SettingsError(f"the option {name} in the store's URL has a wrong value: write {wanted}") from None
    return options
