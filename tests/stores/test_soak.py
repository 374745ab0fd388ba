"""tools/soak.py for some seconds; and that it would say so, were an answer wrong."""

import threading
from collections import Counter
from contextlib import closing, contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from tools import soak
from tools.soak import Answer, Client, Model, Request, Tally

READ = Request("read")
FIRST, SECOND, OTHER = (Request("write", key, f"ann:{n}") for key, n in (("k", 1), ("k", 2), ("other", 3)))
BEGUN = [FIRST], [Answer(200, {}, "id")]
UNAVAILABLE = Answer(503, {})


def write(request, *answers):
    return [request], list(answers)


def read(**found):
    return [READ], [Answer(200, found)]


RENEWED = [Request("regenerate")], [Answer(200, {"k": "ann:1"}, "new id")]
LOGGED_OUT = [Request("logout")], [Answer(200, {"k": "ann:1"}, "")]
UNCERTAIN = [SECOND], [UNAVAILABLE]
AT_ONCE = [SECOND, OTHER], [Answer(200, {"k": "ann:1"}, "id"), Answer(200, {"k": "ann:1"}, "id")]
RENEWED_AT_ONCE = [Request("regenerate"), SECOND], [RENEWED[1][0], Answer(200, {"k": "ann:1"})]


@pytest.mark.parametrize(
    ("later", "faults"),
    {
        "kept": ([read(k="ann:1")], []),
        "gone": ([read()], ["lost"]),
        "another value": ([read(k="ann:2")], ["lost"]),
        "too much": ([read(k="ann:1", x="ann:0")], ["lost"]),
        "another's": ([read(k="bob:1")], ["mixed"]),
        "unavailable, not written": ([UNCERTAIN, read(k="ann:1"), read(k="ann:1")], []),
        "unavailable, written": ([UNCERTAIN, read(k="ann:2"), read(k="ann:2")], []),
        "unavailable, gone": ([UNCERTAIN, read()], ["lost"]),
        "unavailable, first written and then not": ([UNCERTAIN, read(k="ann:2"), read(k="ann:1")], ["lost"]),
        "a new id": ([RENEWED, read(k="ann:1")], []),
        "no new id": ([(RENEWED[0], [Answer(200, {"k": "ann:1"}, "id")])], ["lost"]),
        "unavailable for a new id, ended": ([(RENEWED[0], [UNAVAILABLE]), read(), BEGUN], []),
        "unavailable for a new id, not ended": ([(RENEWED[0], [UNAVAILABLE]), read(k="ann:1"), read()], ["lost"]),
        "logged out": ([LOGGED_OUT, read()], []),
        "logged out, with a cookie": ([(LOGGED_OUT[0], [Answer(200, {"k": "ann:1"})])], ["lost"]),
        "at once, both kept": ([AT_ONCE, read(k="ann:2", other="ann:3")], []),
        "at once, one lost": ([AT_ONCE, read(k="ann:2")], ["lost"]),
        "at once with a new id, written": ([RENEWED_AT_ONCE, read(k="ann:2")], []),
        "at once with a new id, not written": ([RENEWED_AT_ONCE, read(k="ann:1")], []),
        "at once with a new id, gone": ([RENEWED_AT_ONCE, read()], ["lost"]),
    }.values(),
)
def test_an_answer_is_held_to_what_it_may_be(later, faults):
    found = []
    model = Model("ann", lambda kind, what: found.append(kind))
    for requests, answers in [BEGUN, *later]:
        model.settle(requests, answers, forgot=False)
    assert found == faults


def test_a_redis_that_loses_its_data_may_lose_a_session_whole_only():
    found = []
    model = Model("ann", lambda kind, what: found.append(kind))
    for requests, answers in [BEGUN, read(), BEGUN, AT_ONCE]:
        model.settle(requests, answers, forgot=True)
    assert not found
    model.settle(*read(k="ann:2"), forgot=True)
    assert found == ["lost"]


@pytest.mark.parametrize("ending", [LOGGED_OUT, RENEWED, read()])
def test_an_id_that_has_ended_is_asked_for(ending):
    model = Model("ann", lambda kind, what: None)
    model.settle(*BEGUN, forgot=False)
    model.settle(*ending, forgot=True)
    assert model.dead == ["id"]


@contextmanager
def answering(status, body, *cookies):
    class Handler(BaseHTTPRequestHandler):
        def do_GET(self):
            self.send_response(status)
            for cookie in cookies:
                self.send_header("Set-Cookie", f"session={cookie}; Path=/")
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *arguments):
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        try:
            yield {"wrong": server.server_port}
        finally:
            server.shutdown()
            thread.join()


def ask_for_dead(ports, tally):
    with closing(Client("ann", ports, tally, seed=0)) as client:
        client.ask_for_dead("dead")


@pytest.mark.parametrize(
    ("answer", "fault"),
    [
        ((200, b"{}", "new"), None),
        ((200, b'{"k": ["ann:1"]}'), "revived"),
        ((200, b"{}", "dead"), "revived"),
        ((200, b"{}", "given"), "mixed"),
        ((200, b"{}", "new", "newer"), "other"),
        ((500, b""), "other"),
        ((503, b""), "other"),  # Redis is up
        ((503, b"", "new"), "other"),
    ],
)
def test_a_dead_id_leads_to_nothing(answer, fault, monkeypatch):
    monkeypatch.setattr(soak, "RECOVERY", -1)
    tally = Tally(loses=False)
    tally.note_id("given")
    with answering(*answer) as ports:
        ask_for_dead(ports, tally)
    assert {kind for kind in soak.FAULTS if tally.counts[kind]} == ({fault} if fault else set())


def test_an_answer_that_takes_too_long_is_a_hang(monkeypatch):
    monkeypatch.setattr(soak, "MARGIN", -100)
    tally = Tally(loses=False)
    with answering(200, b"{}") as ports:
        ask_for_dead(ports, tally)
    assert tally.counts["hang"] == tally.faults == 1


def test_a_server_that_is_gone_is_a_fault():
    tally = Tally(loses=False)
    with answering(200, b"{}") as ports:
        pass
    ask_for_dead(ports, tally)
    assert tally.counts["other"] == tally.faults == 1


@pytest.mark.parametrize(("growth", "faults"), [(soak.MOST_GROWTH, 0), (soak.MOST_GROWTH + 1, 1)])
def test_memory_that_grows_is_a_fault(growth, faults):
    tally = Tally(loses=False)
    soak.report(tally, {"flask": 5}, {"flask": 5 + growth}, Counter())
    assert tally.faults == faults


def test_a_line_in_a_log_that_is_not_ours_is_a_fault(tmp_path):
    (tmp_path / "flask").write_text("asgi_flask_session: away\nasyncio: Task exception was never retrieved\n")
    tally = Tally(loses=False)
    assert len(soak.logged(tmp_path, tally)) == 2
    assert tally.faults == 1


@pytest.mark.parametrize("loses", [False, True])
def test_all_is_right_on_a_redis_that_is_restarted(loses):
    tally = soak.soak(7, 8, every=3, loses=loses)
    assert (tally.counts["killed"], tally.counts["stopped"]) == (1, 1)
    assert min(tally.counts[side] for side in soak.SIDES) > 0
    assert tally.faults == 0


def test_a_redis_that_loses_what_it_should_keep_is_found_out():
    tally = soak.soak(2, 8, every=1, options=())
    assert tally.counts["lost"] == tally.faults > 0
