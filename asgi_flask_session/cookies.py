"""Cookies in headers: find one in a request, spell one for a response. The only file that knows the syntax.

A request's cookies are read as Werkzeug reads them, so that both sides see one session, in time that grows
no faster than the header.
"""

import re
from datetime import UTC, datetime
from functools import cache

from .asgi import Header, Headers
from .dates import http_date, parse_http_date
from .settings import Settings

_BLANKS = b" \t"  # all that is stripped: a name behind any other white space is another name
# As numbers, which is how bytes are searched quickly: for bytes, a number is tried first, and the error thrown away.
_BLANK, _TAB, _QUOTE = b' \t"'

# What Werkzeug's parser takes for a cookie, up to the first one of a name. Each quantifier is possessive, so that
# no input makes it go back.
_COOKIE = rb"""
    [ \t]*+ %(name)b [ \t]*+
    (?: = [ \t]*+ (?: "( [^"\\]*+ (?: \\. [^"\\]*+ )*+ )" | ([^"; \t]*+) ) )?+
    [ \t]*+ (?: ; | \Z )
"""
_UP_TO_COOKIE = rb"""
    (?:
        (?! %(cookie)b )
        (?: [^";]*+ ;                                                   # no quotes, well-formed or not
          | [ \t]*+ [^"=; \t]++ [ \t]*+ = [ \t]*+ "[^"\\]*+ (?: \\. [^"\\]*+ )*+" [ \t]*+ (?: ; | \Z )
          | [^;]*+ ;                                                    # malformed: skipped up to a semicolon
        )
    )*+
    %(cookie)b
"""
_ESCAPE = re.compile(rb"\\([0-3][0-7]{2}|.)")
_LONGEST_ESCAPED = 64 * 1024  # bytes; what is longer is no session, however short it becomes

# What Werkzeug writes into a cookie as it is, and what it escapes where anything else is there.
_NEEDS_NO_QUOTES = re.compile(r"[\w!#$%&'()*+\-./:<=>?@\[\]^`{|}~]*", re.ASCII)
_ESCAPED = re.compile(rb'[\x00-\x19",;\\\x7f-\xff]')

_DELETED = b"Expires=Thu, 01 Jan 1970 00:00:00 GMT; Max-Age=0"


def cookie_header(headers: Headers) -> tuple[bytes | None, list[Header] | None]:
    """Return the value of the Cookie header, and new headers with one in place of several.

    HTTP/2 lets a client send its cookies in several fields (RFC 9113, 8.2.3). Most servers pass them on so,
    and much of what lies behind them would join the fields with a comma, or look at one only.
    """
    cookies = [value for name, value in headers if name == b"cookie"]
    if len(cookies) <= 1:
        return (cookies[0] if cookies else None), None
    joined = b"; ".join(cookies)
    return joined, [*(header for header in headers if header[0] != b"cookie"), (b"cookie", joined)]


def cookie_among(headers: Headers, name: bytes) -> bytes | None:
    """Return the value of cookie *name* in the headers of a request, or None."""
    cookies, _ = cookie_header(headers)
    return None if cookies is None else find_cookie(cookies, name)


def find_cookie(header: bytes, name: bytes) -> bytes | None:
    """Return the value of cookie *name* in a Cookie header, or None.

    Of several cookies of one name the first wins: a browser sends the longest path first (RFC 6265, 5.4),
    and Flask reads the same one. A cookie that Werkzeug skips as malformed is skipped.
    """
    start = header.find(name)
    if start < 0:
        return None
    # As every browser spells it: at the start or behind a semicolon and a space, and no quotes anywhere.
    if (start == 0 or header[start - 2 : start] == b"; ") and _QUOTE not in header:
        end = header.find(b";", start)
        value = header[start + len(name) : end if end >= 0 else None]
        if value.startswith(b"=") and _BLANK not in value and _TAB not in value:
            return value[1:]
    return _find_in_any(header, name)


def _find_in_any(header: bytes, name: bytes) -> bytes | None:
    """Do the same for any spelling: a value may be in quotes, with semicolons in it and escaped characters."""
    if (found := _pattern(name).match(header)) is None:
        return None
    quoted, plain = found[3] or b"", found[4] or b""  # the groups of the lookahead come first
    if len(quoted) > _LONGEST_ESCAPED:
        return quoted
    return _ESCAPE.sub(_unescape, quoted) or plain


@cache
def _pattern(name: bytes) -> re.Pattern[bytes]:
    cookie = _COOKIE % {b"name": re.escape(name)}
    return re.compile(_UP_TO_COOKIE % {b"cookie": cookie}, re.VERBOSE)


def _unescape(escape: re.Match[bytes]) -> bytes:
    character = escape[1]
    return character if len(character) == 1 else bytes([int(character, 8)])


class SetCookie:
    """Spells the Set-Cookie lines for one set of settings: the order of the attributes is Werkzeug's."""

    def __init__(self, settings: Settings) -> None:
        self.name = settings.cookie_name.encode("ascii")
        host = _domain(settings.cookie_domain) if settings.cookie_domain else ""
        path = _path(settings.cookie_path)
        self._host, self._path = host.lower().encode("ascii"), path.encode("ascii")
        self._domain = f"; Domain={host}".encode("ascii") if host else b""
        self._rest = "".join(
            f"; {attribute}"
            for attribute, wanted in (
                ("Secure", settings.cookie_secure),
                ("HttpOnly", settings.cookie_httponly),
                (f"Path={path}", True),
                (f"SameSite={settings.cookie_samesite}", settings.cookie_samesite),
                ("Partitioned", settings.cookie_partitioned),
            )
            if wanted
        ).encode("ascii")
        self._start, self._end = self.name + b"=", self._domain + self._rest
        self._until: tuple[int | None, bytes] = (None, self._end)

    def set(self, value: bytes, expires: int | None) -> bytes:
        """Spell the line that sets *value*, until *expires* (seconds since the epoch) or the browser closes."""
        if expires is None:
            return self._start + value + self._end
        # The responses of one second share a date, and a date is a third of what a line costs.
        until, end = self._until
        if until != expires:
            end = self._end_until(expires)
        return self._start + value + end

    def delete(self) -> bytes:
        """Spell the line that takes the cookie away, with the attributes that it was set with."""
        return self._start + self._domain + b"; " + _DELETED + self._rest

    def among(self, headers: list[Header]) -> list[Header]:
        """Return the headers that set or delete this very cookie: of this name, domain and path (RFC 6265, 5.3)."""
        return [header for header in headers if header[0].lower() == b"set-cookie" and self._is_set_by(header[1])]

    def _is_set_by(self, line: bytes) -> bool:
        key, equals, _ = line.partition(b"=")
        if not equals or key.strip(_BLANKS) != self.name:
            return False
        attributes = attributes_of(line)
        domain = attributes.get(b"domain", b"").lstrip(b".").lower()
        return domain == self._host and attributes.get(b"path", self._path) == self._path

    def _end_until(self, expires: int) -> bytes:
        date = http_date(datetime.fromtimestamp(expires, UTC))
        end = b"%b; Expires=%b%b" % (self._domain, date.encode("ascii"), self._rest)
        self._until = expires, end
        return end


def _domain(domain: str) -> str:
    return domain.partition(":")[0].lstrip(".").encode("idna").decode("ascii")


def _path(path: str) -> str:
    from urllib.parse import quote  # once for each app, and slower to load than all else here

    return quote(path, safe="%!$&'()*+,/:=@")


def quoted(value: str) -> bytes:
    """Spell a cookie's value as Werkzeug does."""
    raw = value.encode("utf-8")
    if _NEEDS_NO_QUOTES.fullmatch(value):
        return raw
    return b'"' + _ESCAPED.sub(_escape, raw) + b'"'


def _escape(found: re.Match[bytes]) -> bytes:
    character = found[0]
    return b"\\" + character if character in b'"\\' else b"\\%03o" % character[0]


def set_cookie_value(line: bytes) -> bytes:
    """Return the value that a Set-Cookie line sets."""
    return line.partition(b";")[0].partition(b"=")[2].strip(_BLANKS)


def attributes_of(line: bytes) -> dict[bytes, bytes]:
    """Return the attributes of a Set-Cookie line by their names in lower case."""
    return {
        key.strip(_BLANKS).lower(): value.strip(_BLANKS)
        for key, _, value in (attribute.partition(b"=") for attribute in line.split(b";")[1:])
    }


def is_deletion(line: bytes, now: float) -> bool:
    """Say whether a Set-Cookie line takes its cookie away: Max-Age counts before Expires (RFC 6265, 5.3)."""
    attributes = attributes_of(line)
    max_age = attributes.get(b"max-age", b"")
    if max_age.removeprefix(b"-").isdigit():
        return max_age.startswith(b"-") or not max_age.strip(b"0")
    expires = parse_http_date(attributes.get(b"expires", b"").decode("latin-1"))
    return expires is not None and expires.timestamp() <= now


def add_vary(headers: list[Header]) -> None:
    """Make the response vary by cookie, in the first Vary header that is there if one is."""
    if b"vary" not in [name.lower() for name, _ in headers]:
        headers.append((b"vary", b"Cookie"))
        return
    present = [index for index, header in enumerate(headers) if header[0].lower() == b"vary"]
    for index in present:
        if not {b"cookie", b"*"}.isdisjoint(item.strip(_BLANKS).lower() for item in headers[index][1].split(b",")):
            return
    name, value = headers[present[0]]
    headers[present[0]] = (name, value + b", Cookie" if value.strip(_BLANKS) else b"Cookie")
