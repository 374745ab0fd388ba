"""Lets one browser go to a Django project, that of the working directory, and to a Flask app beside it.

Reads a JSON list of requests, each [who, path] or [who, path, form], and prints what came back of each. A form's value
"<text>" is what the request before has answered.
"""

import json
import os
import sys
from pathlib import Path

HERE = Path(__file__).parent
sys.path[:0] = [str(Path.cwd()), str(HERE.parent)]
os.environ["DJANGO_SETTINGS_MODULE"] = "settings"

from adapters.django_site import ASGI, Browser, flask_app  # noqa: E402  # once it can be found
from django.core.asgi import get_asgi_application  # noqa: E402

SECRET = "a-long-random-value-of-yours"


def main():
    application = get_asgi_application()
    if Path("asgi.py").exists():
        from asgi import application
    apps = {"django": ASGI(application), "flask": flask_app(SECRET_KEY=SECRET)}
    browser, last, replies = Browser(), "", []
    for who, path, *form in json.load(sys.stdin):
        filled = [{name: last if value == "<text>" else value for name, value in fields.items()} for fields in form]
        reply = browser.ask(apps[who], path, *filled)
        last = reply.json["csrf_token"] if reply.text.startswith('{"csrf_token"') else reply.text
        replies.append([reply.status, reply.text.strip()])
    json.dump(replies, sys.stdout)


main()
