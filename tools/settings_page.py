"""Write docs/settings.md, the reference of the settings, from the code: python tools/settings_page.py."""

import ast
import inspect
import re
from datetime import timedelta
from pathlib import Path

from asgi_flask_session import settings
from asgi_flask_session.settings import FIELDS, FLASK_NAMES, Settings

PAGE = Path(__file__).parents[1] / "docs" / "settings.md"
HEAD = """\
# Settings

Every setting is a keyword of `FlaskSessionASGI`, of `FlaskSessionInterface` for Quart and Flask, and a field of
`Settings`; a keyword beside `settings=` replaces that field. A setting that cannot work is refused when the app is
built, with a message that says what to write instead.

```python
from asgi_flask_session import Settings

settings = Settings("a-long-random-value-of-yours", cookie_samesite="Lax", permanent_lifetime=7 * 24 * 3600)
```

`Settings.from_flask(app)` reads a Flask or Quart app, `Settings.from_mapping(config)` a mapping with Flask's names, and
`Settings.from_env("FLASK_")` the environment, where a value is read as JSON if it is JSON. Lifetimes are a `timedelta`
or seconds, sizes are bytes.

| Setting | Default | Flask's name | |
|---|---|---|---|
"""
TAIL = "\nThis page is made from the code by `python tools/settings_page.py`.\n"


def page() -> str:
    """Return the text of the page."""
    names = {field: name for name, field in FLASK_NAMES.items()}
    texts = comments()
    rows = [f"| `{name}` | {shown_default(name)} | {code(names.get(name))} | {texts[name]} |" for name in FIELDS]
    return HEAD + "\n".join(rows) + "\n" + TAIL


def comments() -> dict[str, str]:
    """Return what the ``#:`` lines above each field say; a field without any shares those of the field above."""
    lines = inspect.getsource(Settings).splitlines()
    body = ast.parse(inspect.cleandoc("\n".join(lines))).body[0]
    found: dict[str, str] = {}
    text = ""
    for statement in getattr(body, "body", ()):
        if not isinstance(statement, ast.AnnAssign) or not isinstance(statement.target, ast.Name):
            continue
        above = []
        for line in reversed(lines[: statement.lineno - 1]):
            if not line.strip().startswith("#:"):
                break
            above.insert(0, line.strip().removeprefix("#:").strip())
        if above:
            text = " ".join(above)
        found[statement.target.id] = re.sub(r"``(.+?)``", r"`\1`", re.sub(r"^([A-Z_]{8,})(?=[:,])(: )?", "", text))
    return {name: _sentence(value) for name, value in found.items()}


def _sentence(text: str) -> str:
    text = text.lstrip(", ")
    return text[:1].upper() + text[1:]


def shown_default(name: str) -> str:
    if name == "secret":
        return "required"
    default = FIELDS[name]
    if isinstance(default, timedelta):
        return f"{default.days} days" if default.days else f"{default.seconds} s"
    if default in (settings._FLASKS_SERIALIZER, settings.sha1) or isinstance(default, type):
        return "Flask's" if not isinstance(default, type) else f"`{default.__name__}`"
    return code(repr(default).replace("'", '"'))


def code(text: str | None) -> str:
    return f"`{text}`" if text else ""


if __name__ == "__main__":
    PAGE.write_text(page(), "utf-8")
