"""Has libraries such as are not installed, also for whoever has imported them."""

import importlib
import sys

# What imports a client, or what waits for a store, when it is itself imported.
_IMPORTERS = ("asgi_flask_session.stores.", "asgi_flask_session.server_side", "quart_plugin.mongodb")


def forget(monkeypatch, *libraries):
    """Let the next import of each library fail."""
    replace(monkeypatch, dict.fromkeys(libraries))


def replace(monkeypatch, packages):
    """Have packages in place of what is installed, None for those that are not."""
    for name in list(sys.modules):
        if name.startswith(_IMPORTERS) and name != "asgi_flask_session.stores.base":
            package, _, module = name.rpartition(".")
            monkeypatch.delitem(sys.modules, name)
            if hasattr(importlib.import_module(package), module):
                monkeypatch.delattr(importlib.import_module(package), module)  # which a new import sets
        elif name.partition(".")[0] in packages:
            monkeypatch.delitem(sys.modules, name)
    for name, package in packages.items():
        monkeypatch.setitem(sys.modules, name, package)
