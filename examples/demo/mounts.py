"""The app around the six: each under its path, with a session that both may write to."""

from typing import Any

from asgi_flask_session.asgi import ASGIApp


class Mounts:
    """Passes each request on to the app of its first path segment, and the rest to *fallback*."""

    def __init__(self, apps: dict[str, ASGIApp], fallback: ASGIApp) -> None:
        self.apps = apps
        self.fallback = fallback

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        name = scope["path"].split("/", 2)[1]
        app = self.apps.get(name)
        if app is None:
            await self.fallback(scope, receive, send)
            return
        # `path` stays whole, as ASGI says; the scope stays the same dict, so that a session that
        # an app puts in the place of ours is found.
        scope["root_path"] = f"{scope.get('root_path', '')}/{name}"
        # With Flask inside, both write to the session within one request: one cookie goes out. Not
        # on /remove, since a session that is noted in is never empty.
        if scope.get("method") == "POST" and not scope["path"].endswith("/remove"):
            scope["session"]["last_change_in"] = name
        await app(scope, receive, send)
