"""What is wrong, or could be better, with settings of a session, or with the cookies that a URL answers with."""

import warnings
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import timedelta
from http.client import HTTPException
from typing import Any, Literal
from urllib.error import HTTPError, URLError
from urllib.request import HTTPRedirectHandler, Request, build_opener

from .cookies import attributes_of, set_cookie_value
from .errors import SettingsError
from .settings import Settings

_BROWSER_LIMIT = 4096  # bytes of name=value
_LONGEST_WAIT = 10  # seconds for a URL to answer
_LONG = timedelta(days=400)  # what browsers make of any longer life (RFC 6265bis, 5.5)


@dataclass(frozen=True)
class Finding:
    """One thing that was looked at: an ``error`` will not work, a ``warning`` may not be what was meant."""

    level: Literal["error", "warning", "ok"]
    text: str


def examine_settings(settings: Settings) -> list[Finding]:
    """Return what is to be said of settings that can work."""
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        settings.replace()
    findings = [Finding("warning", str(warning.message)) for warning in caught]
    if not settings.cookie_httponly:
        findings.append(Finding("warning", "cookie_httponly is off: any script of the page can read the session"))
    if not settings.cookie_secure:
        findings.append(Finding("warning", "cookie_secure is off: over http the cookie is sent in the clear"))
    if settings.cookie_samesite is None:
        findings.append(
            Finding("warning", "cookie_samesite is not set: write 'Lax', so that forms of other sites come without it")
        )
    if settings.permanent_lifetime > _LONG:
        findings.append(Finding("warning", "permanent_lifetime is over the 400 days that browsers keep a cookie"))
    if settings.max_cookie_size == 0 or settings.max_cookie_size > _BROWSER_LIMIT:
        findings.append(Finding("warning", "max_cookie_size lets pass what browsers refuse: 4093 is Flask's"))
    return findings or [Finding("ok", "nothing is wrong with the settings")]


def examine_url(url: str, cookie_name: str) -> list[Finding]:
    """Ask *url* once, and return what is to be said of the session cookie in its answer.

    Raises SettingsError for what is no URL of http or https, and where nothing answers.
    """
    if not url.lower().startswith(("http://", "https://")):
        raise SettingsError(f"{url!r} is no URL of a web server: write 'https://example.org/'")
    try:
        with build_opener(_NoRedirects).open(Request(url), timeout=_LONGEST_WAIT) as answer:  # noqa: S310  # looked at above
            headers = answer.headers
    except HTTPError as error:
        headers = error.headers
        error.close()
    except (URLError, HTTPException, OSError, ValueError) as error:
        raise SettingsError(f"{url} does not answer: {getattr(error, 'reason', error)}") from error
    return examine_headers(
        headers.get_all("Set-Cookie") or (),
        headers.get_all("Vary") or (),
        cookie_name,
        https=url.lower().startswith("https:"),
    )


class _NoRedirects(HTTPRedirectHandler):
    """An answer that leads elsewhere may be the one that sets the cookie."""

    def redirect_request(self, *_: Any, **__: Any) -> None:
        return None


def examine_headers(set_cookies: Iterable[str], vary: Sequence[str], cookie_name: str, *, https: bool) -> list[Finding]:
    """Return what is to be said of the Set-Cookie and Vary lines of one response."""
    lines = [line.encode("latin-1", "replace") for line in set_cookies]
    name = cookie_name.encode()
    ours = [line for line in lines if line.partition(b"=")[0].strip() == name]
    if not ours:
        others = ", ".join(repr(line.partition(b"=")[0].decode("latin-1")) for line in lines) or "none"
        return [Finding("warning", f"the answer sets no cookie {cookie_name!r} (it sets: {others})")]
    findings = []
    if len(ours) > 1:
        findings.append(
            Finding(
                "error",
                f"the answer sets {len(ours)} cookies {cookie_name!r}: two apps write the session, and the browser"
                " keeps the last. Let one middleware write, or give the apps one secret",
            )
        )
    for line in ours:
        findings.extend(_of_line(line, cookie_name, https=https))
    if not any(item.strip().lower() in ("cookie", "*") for field in vary for item in field.split(",")):
        findings.append(Finding("warning", "the answer has no 'Vary: Cookie': a cache may give it to somebody else"))
    return findings or [Finding("ok", f"nothing is wrong with the cookie {cookie_name!r}")]


def _of_line(line: bytes, name: str, *, https: bool) -> Iterable[Finding]:
    attributes = attributes_of(line)
    size = len(name) + 1 + len(set_cookie_value(line))
    if size > _BROWSER_LIMIT:
        yield Finding("error", f"the cookie is {size} bytes of name=value; browsers refuse one over {_BROWSER_LIMIT}")
    if b"httponly" not in attributes:
        yield Finding("warning", "the cookie is not HttpOnly: any script of the page can read the session")
    if b"samesite" not in attributes:
        yield Finding("warning", "the cookie has no SameSite: write SESSION_COOKIE_SAMESITE='Lax'")
    secure = b"secure" in attributes
    if https and not secure:
        yield Finding("warning", "the cookie is not Secure: over http it is sent in the clear")
    if secure and not https:
        yield Finding("error", "the cookie is Secure, and the URL is http: browsers drop it, unless the host is local")
    if attributes.get(b"samesite", b"").lower() == b"none" and not secure:
        yield Finding("error", "SameSite=None needs Secure: browsers drop the cookie")
    if name.startswith(("__Secure-", "__Host-")) and not secure:
        yield Finding("error", f"a cookie {name!r} needs Secure: browsers drop it")
    if name.startswith("__Host-") and (b"domain" in attributes or attributes.get(b"path") != b"/"):
        yield Finding("error", f"a cookie {name!r} needs Path=/ and no Domain: browsers drop it")
