"""Runs the Python blocks of a page as one program, in a process of its own, and asks what they serve.

Reads a JSON list of blocks, and prints one of what became of each: what it printed, what we logged, and what the
handlers that it added answered, each asked twice by the browser of its app.
"""

import asyncio
import contextlib
import io
import json
import logging
import re
import sys
import traceback
import warnings

from asgi_flask_session import SessionWarning

HANDLER = re.compile(r"^@(\w+)\.(get|post)\(\"(.*?)\"", re.MULTILINE)


class Page:
    def __init__(self, stack):
        self.stack = stack
        self.namespace = {"__name__": "__main__"}
        self.browsers = {}  # by app

    def run(self, number, code):
        printed = io.StringIO()
        with contextlib.redirect_stdout(printed):
            exec(compile(code, f"block {number}", "exec"), self.namespace)
        answers = [self.ask(*handler) for handler in HANDLER.findall(code) for _ in range(2)]
        return {"printed": printed.getvalue(), "answers": answers}

    def ask(self, name, method, path):
        app = self.namespace[name]
        kind = type(app).__name__
        if kind not in {"Flask", "Quart"}:
            app = self.namespace["app"]  # what wraps it
        if id(app) not in self.browsers:
            self.browsers[id(app)] = self.browser(app, kind)
        status, body = self.browsers[id(app)](method, path)
        return [f"{method} {path}", status, body]

    def browser(self, app, kind):
        if kind == "Flask":
            flask = app.test_client()

            def ask(method, path):
                response = flask.open(path, method=method)
                return response.status_code, response.text
        elif kind == "Quart":
            client = app.test_client()

            async def answer(method, path):
                response = await client.open(path, method=method.upper())
                return response.status_code, await response.get_data(as_text=True)

            def ask(method, path):
                return asyncio.run(answer(method, path))
        else:
            from starlette.testclient import TestClient

            starlette = self.stack.enter_context(TestClient(app, base_url="https://testserver"))

            def ask(method, path):
                response = starlette.request(method, path)
                return response.status_code, response.text

        return ask


def main():
    warnings.simplefilter("error", SessionWarning)
    warnings.filterwarnings("ignore", "Using `httpx` with")  # Starlette's own matter
    warnings.filterwarnings("ignore", "starlette-flask is archived")  # which is why one comes from there
    logs = []
    handler = logging.Handler()
    handler.emit = lambda record: logs.append(record.getMessage())
    logging.getLogger("asgi_flask_session").addHandler(handler)
    outcomes = []
    with contextlib.ExitStack() as stack:
        page = Page(stack)
        for number, code in enumerate(json.load(sys.stdin)):
            logs.clear()
            try:
                outcomes.append({**page.run(number, code), "error": None})
            except Exception:  # noqa: BLE001  # whatever it is, the test shows it
                outcomes.append({"error": traceback.format_exc()})
            outcomes[-1]["logs"] = list(logs)
    json.dump(outcomes, sys.stdout)


main()
