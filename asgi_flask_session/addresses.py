"""The address of a client, as far as it can be believed: a proxy's word counts only where one was configured."""

import re
from ipaddress import IPv6Address, ip_address
from typing import Any

from .asgi import Scope, header

_WITH_PORT = re.compile(r"\[([^]]*)\](?::[0-9]{1,5})?|([^:]*):[0-9]{1,5}")


def client_address(scope: Scope, trusted_proxies: int) -> str | None:
    """Return the client's IP address in its shortest spelling, or None where it cannot be known.

    Each trusted proxy appends the address it was called from to X-Forwarded-For. With *trusted_proxies* of them,
    the address is that many entries from the right: whatever stands to its left, the client may have sent itself.
    """
    if not trusted_proxies:
        peer = scope.get("client")
        return normal_address(peer[0]) if peer else None
    entries = (header(scope, b"x-forwarded-for") or b"").decode("latin-1").rsplit(",", trusted_proxies)
    return normal_address(entries[-trusted_proxies].strip(" \t")) if len(entries) >= trusted_proxies else None


def normal_address(text: Any) -> str | None:
    """Return an address without port, brackets and zone, an IPv4 one mapped into IPv6 as what it is; None for none."""
    if not isinstance(text, str):
        return None
    if found := _WITH_PORT.fullmatch(text):
        text = found[1] or found[2] or ""
    try:
        address = ip_address(text)
    except ValueError:
        return None
    if isinstance(address, IPv6Address):
        return str(address.ipv4_mapped or address).partition("%")[0]
    return str(address)
