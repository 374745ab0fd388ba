"""The address of a client, as far as it can be believed: a proxy's word counts only where one was configured."""

from ipaddress import IPv6Address, ip_address

from .asgi import Scope


def client_address(scope: Scope, trusted_proxies: int) -> str | None:
    """Return the client's IP address in its shortest spelling, or None where it cannot be known.

    Each trusted proxy appends the address it was called from to X-Forwarded-For. With *trusted_proxies* of them,
    the address is that many entries from the right: whatever stands to its left, the client may have sent itself.
    """
    if not trusted_proxies:
        peer = scope.get("client")
        return _normal(peer[0]) if peer else None
    fields = [value for name, value in scope.get("headers", ()) if name == b"x-forwarded-for"]
    entries = b",".join(fields).decode("latin-1").split(",")
    return _normal(entries[-trusted_proxies]) if len(entries) >= trusted_proxies else None


def _normal(text: str) -> str | None:
    """Return an address without port, brackets and zone, an IPv4 one mapped into IPv6 as what it is."""
    text = text.strip(" \t")
    if text.startswith("["):
        text = text[1:].partition("]")[0]
    elif text.count(":") == 1:
        text = text.partition(":")[0]
    try:
        address = ip_address(text.partition("%")[0])
    except ValueError:
        return None
    if isinstance(address, IPv6Address) and address.ipv4_mapped is not None:
        return str(address.ipv4_mapped)
    return str(address)
