"""The demo proves itself, over real HTTP: what one app writes, each of the six reads."""

import re
import sys
from collections.abc import Callable
from functools import partial
from typing import Any

from .client import Client, Fault
from .table import APPS, Table

CSRF_FIELD = re.compile(r'name="csrf_token"[^>]* value="([^"]+)"')

Write = Callable[[str], object]


def check(url: str, write: Write = sys.stdout.write) -> bool:
    """Print the table of the apps served at *url*, and say whether every cell is right."""
    table = Table(write)
    visitor = Visitor(Client(url), table)
    visitor.types()
    visitor.log_in()
    visitor.log_out()
    visitor.flashes()
    visitor.websocket()
    visitor.empty()
    write("\n")
    visitor.forged_form()
    visitor.both_write()
    visitor.cookies()
    for fault in table.wrong:
        write(f"  {fault}\n")
    return not table.wrong


class Visitor:
    """One visitor with one session, and what the six apps should see of it."""

    def __init__(self, client: Client, table: Table) -> None:
        self.client = client
        self.table = table

    # Rows of the table

    def types(self) -> None:
        self.table.head("every type, written in")
        for seed, (app, name) in enumerate(APPS.items(), start=1):
            self.row(
                name,
                partial(self.client.post, f"/{app}/types", seed=seed),
                partial(self.expect_types, seed=seed),
            )

    def log_in(self) -> None:
        self.table.head("logged in with")
        self.row("Flask's form", self.submit_login, partial(self.expect_user, user="ada"))

    def log_out(self) -> None:
        self.table.head("logged out in")
        for app, name in APPS.items():
            self.row(name, partial(self.in_and_out, app), partial(self.expect_user, user=None))

    def flashes(self) -> None:
        self.table.head("message flashed in")
        for app, name in APPS.items():
            self.row(name, lambda: None, partial(self.pass_message, app))  # read once: one for each

    def websocket(self) -> None:
        self.table.head("set from")
        self.row(
            "a websocket's handshake",
            partial(self.client.handshake, "/raw/ws", value="hello"),
            partial(self.expect_value, key="from_websocket", value="'hello'"),
        )

    def empty(self) -> None:
        self.table.head("emptied in")
        for app, name in APPS.items():
            self.row(name, partial(self.remove_all, app), self.expect_nothing)

    def row(self, label: str, act: Callable[[], Any], see: Callable[[str], None]) -> None:
        """Do something once, and have each app say what it sees of it."""
        fault = fault_of(act)
        self.table.row(label, (fault or fault_of(partial(see, reader)) for reader in APPS))

    # Lines below the table

    def forged_form(self) -> None:
        fault: str | None = "Flask took a form with a forged CSRF token"
        try:
            self.submit_login("forged")
        except Fault as error:
            fault = None if str(error).endswith("400") else str(error)
        self.table.line("Flask's form with a forged CSRF token is refused.", fault)

    def both_write(self) -> None:
        """Mounts notes each change, so of a change in Flask two are told: one cookie has both."""
        fault = fault_of(
            partial(self.client.post, "/flask/set", key="written_by", value="Flask"),
            partial(self.expect_value, "raw", key="written_by", value="'Flask'"),
            partial(self.expect_value, "raw", key="last_change_in", value="'flask'"),
        )
        self.table.line("Flask and the app around it write in one request: both are kept.", fault)

    def cookies(self) -> None:
        sent = self.client.cookies_sent
        twice = [f"{request}: {count} Set-Cookie" for request, count in sent if count > 1]
        # The page of Flask's form is no mere read: it puts a CSRF token into the session.
        reads = [(request, count) for request, count in sent if request.startswith("GET ") and request != "GET /flask/"]
        at_reads = [f"{request}: a read sent Set-Cookie" for request, count in reads if count]
        self.table.line(
            f"Set-Cookie: {sum(count == 1 for _, count in sent)} of {len(sent)} responses had one,"
            f" {len(twice)} had more; {len(at_reads)} of {len(reads)} reads had any.",
            "; ".join(twice + at_reads) or None,
        )

    # What the visitor does

    def submit_login(self, token: str | None = None) -> None:
        field = CSRF_FIELD.search(self.client.page("/flask/"))
        if field is None:
            raise Fault("Flask's page has no CSRF token")
        self.client.submit("/flask/login", name="ada", csrf_token=token or field[1])

    def in_and_out(self, app: str) -> None:
        if self.client.get(f"/{app}/session")["user"] is None:
            self.submit_login()
        self.expect_user(app, user="ada")
        self.client.post(f"/{app}/logout")

    def remove_all(self, app: str) -> None:
        self.client.post(f"/{app}/set", key="last", value="one")
        keys = [entry["key"] for entry in self.client.get(f"/{app}/session")["entries"]]
        self.client.post(f"/{app}/remove", keys=keys)
        if self.client.cookie is not None:
            raise Fault("the cookie of an empty session was not deleted")

    def pass_message(self, writer: str, reader: str) -> None:
        text = f"from {writer} to {reader}"
        self.client.post(f"/{writer}/flash", text=text)
        found = self.client.post(f"/{reader}/flashes")["messages"]
        if found != [text]:
            raise Fault(f"the messages are {found}, not {[text]}")

    # What an app should see

    def expect_types(self, app: str, *, seed: int) -> None:
        wrong = self.client.get(f"/{app}/types", seed=seed)["wrong"]
        if wrong:
            raise Fault("; ".join(f"{key}: {found}" for key, found in wrong.items()))

    def expect_user(self, app: str, *, user: str | None) -> None:
        found = self.client.get(f"/{app}/session")["user"]
        if found != user:
            raise Fault(f"logged in is {found!r}, not {user!r}")

    def expect_value(self, app: str, *, key: str, value: str) -> None:
        entries = self.client.get(f"/{app}/session")["entries"]
        found = {entry["key"]: entry["value"] for entry in entries}.get(key)
        if found != value:
            raise Fault(f"{key} is {found}, not {value}")

    def expect_nothing(self, app: str) -> None:
        entries = self.client.get(f"/{app}/session")["entries"]
        if entries:
            raise Fault(f"the session holds {', '.join(entry['key'] for entry in entries)}")


def fault_of(*steps: Callable[[], Any]) -> str | None:
    """Take the steps, and say what went wrong."""
    try:
        for step in steps:
            step()
    except Fault as fault:
        return str(fault)
    return None
