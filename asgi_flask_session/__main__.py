"""``python -m asgi_flask_session``: the same as the command ``asgi-flask-session``."""

from .cli import main

if __name__ == "__main__":
    raise SystemExit(main())
