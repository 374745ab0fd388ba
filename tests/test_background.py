"""One loop in a thread of its own, for callers that have none."""

import asyncio
import os
import threading
from datetime import UTC, datetime

import pytest
from driver import NOW

from asgi_flask_session import Session
from asgi_flask_session.background import BackgroundLoop, refuses_now


async def where():
    return asyncio.get_running_loop(), threading.current_thread()


@pytest.fixture
def background():
    background = BackgroundLoop()
    yield background
    loop, thread = background.run(where())
    loop.call_soon_threadsafe(loop.stop)
    thread.join()
    loop.close()


def test_callers_of_all_threads_share_one_loop(background):
    found, at_once = [], threading.Barrier(8)

    def ask():
        at_once.wait()
        found.append(background.run(where()))

    threads = [threading.Thread(target=ask) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(found) == 8
    assert len(set(found)) == 1


def test_thread_is_named_and_lets_the_process_end(background):
    _, thread = background.run(where())
    assert (thread.name, thread.daemon) == ("asgi_flask_session", True)


def test_what_a_coroutine_raises_comes_out(background):
    async def fail():
        raise ValueError("x")

    with pytest.raises(ValueError, match="^x$"):
        background.run(fail())


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system has no fork")
@pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning")
def test_forked_child_has_a_loop_of_its_own(background):
    before, _ = background.run(where())
    child = os.fork()
    if child == 0:
        code = 1
        try:
            answer = []
            asking = threading.Thread(target=lambda: answer.append(background.run(where())), daemon=True)
            asking.start()
            asking.join(5)
            code = 0 if answer and answer[0][0] is not before else 2
        finally:
            os._exit(code)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
    assert background.run(where())[0] is before


def refuse(session, signed_at):
    return session["user"] == "eve" and signed_at == datetime.fromtimestamp(NOW, UTC)


async def refuse_later(session, signed_at):
    await asyncio.sleep(0)
    return refuse(session, signed_at)


@pytest.mark.parametrize("is_revoked", [refuse, refuse_later], ids=["sync", "async"])
@pytest.mark.parametrize(("user", "signed", "refused"), [("eve", NOW, True), ("ada", NOW, False), ("eve", 0, False)])
def test_caller_that_cannot_wait_is_told_whether_a_session_is_revoked(is_revoked, user, signed, refused):
    session = Session(user=user)
    session._signed = signed
    assert refuses_now(is_revoked, session) is refused
    assert not session.accessed
