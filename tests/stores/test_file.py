import asyncio
import hashlib
import os
import pickle
import shutil
import stat
import threading
from contextlib import ExitStack, asynccontextmanager
from datetime import timedelta
from pathlib import Path

import anyio
import pytest
from services.processes import wait_until
from stores.contract import TTL, PruneContract, SessionContract, StoreContract, UsersContract, key
from stores.test_sqlite import (
    ALL_WRITTEN,
    ask,
    counted_by_many_threads,
    left_by_a_killed_writer,
    run,
    start,
    together,
    written_by_two_processes,
)

from asgi_flask_session import SettingsError, StoreUnavailable
from asgi_flask_session.stores import file
from asgi_flask_session.stores.base import open_store
from asgi_flask_session.stores.file import FileStore

try:
    import fcntl
except ImportError:  # on Windows locks are of another kind
    fcntl = None

POSIX = pytest.mark.skipif(fcntl is None, reason="files have other modes and locks on Windows")


@pytest.fixture
def folder(tmp_path):
    return tmp_path / "sessions"


def file_of(folder, name, suffix=".session"):
    return folder / (hashlib.sha256(name.encode()).hexdigest() + suffix)


class Lock:
    """The lock of a key, as another process would hold it."""

    def __init__(self, folder, name, digit=None):
        self.path = folder / f"lock-{digit or file_of(folder, name).name[0]}"

    def __enter__(self):
        self.file = self.path.open("wb")
        fcntl.flock(self.file, fcntl.LOCK_EX)
        return self

    def release(self):
        self.file.close()

    def __exit__(self, *error):
        self.release()


@pytest.fixture
def waiters(monkeypatch):
    """Return what is called with a number, and awaits that so many threads have come to wait for a lock."""
    wait, came = file._wait_for_lock, []

    def note_and_wait(*args):
        came.append(args)
        wait(*args)

    async def until(number):
        with anyio.fail_after(20):
            while len(came) < number:  # noqa: ASYNC110  # no loop is told of it
                await anyio.sleep(0.001)

    monkeypatch.setattr(file, "_wait_for_lock", note_and_wait)
    return until


class TestFileStore(StoreContract, PruneContract, UsersContract, SessionContract):
    @pytest.fixture(autouse=True)
    def _folder(self, folder):
        self.folder = folder

    @asynccontextmanager
    async def opened(self, clock):
        store = FileStore(self.folder, clock=clock)
        try:
            yield store
        finally:
            await store.aclose()


class TestBatches(PruneContract, UsersContract):
    opened = TestFileStore.opened
    _folder = TestFileStore._folder

    @pytest.fixture(autouse=True)
    def _few(self, monkeypatch):
        monkeypatch.setattr(file, "_BATCH", 2)


# URLs and files


@pytest.mark.parametrize(
    ("url", "expected"),
    [
        ("file:///var/lib/app/sessions", "/var/lib/app/sessions"),
        ("file:/var/lib/app/sessions", "/var/lib/app/sessions"),
        ("file:///a%20b/c", "/a b/c"),
        ("file:sessions", "sessions"),
        ("file:below/sessions", "below/sessions"),
    ],
)
def test_a_folder_in_a_url(url, expected, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    store = open_store(url)
    monkeypatch.chdir("/")
    assert store._folder == tmp_path / expected


@pytest.mark.parametrize(
    "url", ["file:", "file://", "file:///", "file://host/sessions", "file://localhost/a", "file:////a", "file:a?b=c",
            "file:///a#b"]
)  # fmt: skip
def test_a_url_that_leads_to_no_folder_of_this_machine_is_refused(url):
    with pytest.raises(SettingsError, match="write 'file:///var/lib/app/sessions'"):
        open_store(url)


def test_a_folder_is_made_at_the_first_use_with_those_above_it(tmp_path):
    store = FileStore.from_url(f"file://{tmp_path}/a/b")
    assert list(tmp_path.iterdir()) == []
    assert ask(store, lambda store: store.create("a", b"x", TTL)) is True


def test_a_file_is_named_by_a_hash_whatever_the_key(folder):
    names = ["session:abc", "../../etc/passwd", "/", "", "a\x00b", "é", "x" * 5000]

    async def test(store):
        for name in names:
            assert await store.create(name, name.encode(), TTL)
        return [await store.get(name) for name in names]

    assert ask(FileStore(folder), test) == [name.encode() for name in names]
    records = {path for path in folder.iterdir() if not path.name.startswith("lock-")}
    assert records == {file_of(folder, name) for name in names}
    assert list(folder.parent.iterdir()) == [folder]


@POSIX
def test_folder_and_files_are_for_their_owner_only(folder):
    async def test(store):
        for number in range(20):
            await store.create(f"{number}", b"x", TTL)

    umask = os.umask(0)
    try:
        ask(FileStore(folder), test)
    finally:
        os.umask(umask)
    assert stat.S_IMODE(folder.stat().st_mode) == 0o700
    assert {stat.S_IMODE(path.stat().st_mode) for path in folder.iterdir()} == {0o600}


@POSIX
def test_a_folder_that_is_there_keeps_its_mode(folder):
    folder.mkdir()
    folder.chmod(0o750)
    ask(FileStore(folder), lambda store: store.create(key(), b"x", TTL))
    assert stat.S_IMODE(folder.stat().st_mode) == 0o750


def test_there_are_few_locks_for_many_records(folder):
    async def test(store):
        for number in range(200):
            await store.create(f"{number}", b"x", TTL)

    ask(FileStore(folder), test)
    assert len(list(folder.glob("lock-*"))) == 16


# Damaged and foreign files


def damages(content):
    for length in range(len(content)):
        yield content[:length]
    for place in range(len(content)):
        yield content[:place] + bytes([content[place] ^ 0x10]) + content[place + 1 :]
    yield content + b"\x00"
    yield bytes(len(content))


def test_a_file_damaged_anywhere_is_no_record_and_can_be_made_anew(folder, clock):
    async def test(store):
        await store.create("a", b'{"n":1}', TTL)
        path = file_of(folder, "a")
        for damaged in damages(path.read_bytes()):
            path.write_bytes(damaged)
            found = await store.get("a"), await store.touch("a", TTL), await store.replace("a", b"y", TTL, b"")
            assert (*found, [one async for one in store._records()]) == (b"", False, False, [])
            assert await store.create("a", b"new", TTL)
            assert await store.get("a") == b"new"

    ask(FileStore(folder, clock=clock), test)


def test_a_damaged_file_is_pruned_uncounted(folder, clock):
    async def test(store):
        await store.create("a", b"x", TTL)
        await store.create("b", b"x", TTL)
        file_of(folder, "a").write_bytes(b"")
        return await store.prune(), await store.get("a"), await store.get("b")

    assert ask(FileStore(folder, clock=clock), test) == (0, None, b"x")


class Trap:
    def __reduce__(self):
        return os.mkdir, (self.where,)


def test_a_pickle_is_never_loaded(folder, tmp_path):
    trap = Trap()
    trap.where = str(tmp_path / "sprung")

    async def test(store):
        await store.ping()
        file_of(folder, "a").write_bytes(b"\x00" * 4 + pickle.dumps(trap))
        return await store.get("a"), [one async for one in store._records()], await store.prune()

    assert ask(FileStore(folder), test) == (b"", [], 0)
    assert not (tmp_path / "sprung").exists()


def test_records_of_cachelib_in_the_same_folder_are_left_alone(folder):
    cachelib = pytest.importorskip("cachelib")
    theirs = cachelib.FileSystemCache(str(folder), threshold=3)
    theirs.set("session:a", {"n": 1}, timeout=-10)
    theirs.set("session:b", {"n": 2}, timeout=1000)

    async def test(store):
        before = {path.name: path.read_bytes() for path in folder.iterdir()}
        assert [await store.get(name) for name in ("session:a", "session:b")] == [None, None]
        assert await store.create("session:b", b"ours", TTL)
        assert (await store.prune(), [one async for one in store._records()]) == (0, [("session:b", b"ours")])
        await store.delete("session:a")
        assert {name: (folder / name).read_bytes() for name in before} == before
        for number in range(5):  # it makes room by deleting what ends first
            theirs.set(f"{number}", {}, timeout=1000)
        return await store.get("session:b")

    assert ask(FileStore(folder), test) == b"ours"


def test_what_a_killed_writer_left_behind_is_pruned(folder, clock):
    async def test(store):
        await store.create("a", b"x", TTL)
        for name in ("a", "b"):
            file_of(folder, name, ".new").write_bytes(b"half of")
        (folder / "notes.new").write_bytes(b"of somebody else")
        return await store.prune(), await store.get("a")

    assert ask(FileStore(folder, clock=clock), test) == (0, b"x")
    assert sorted(folder.glob("*.new")) == [folder / "notes.new"]


@POSIX
def test_what_is_being_written_is_not_pruned(folder, clock):
    async def test(store):
        await store.ping()
        new = file_of(folder, "a", ".new")
        with Lock(folder, "a"):
            new.write_bytes(b"half of")
            with pytest.raises(StoreUnavailable):
                await store.prune()
            return new.exists()

    assert ask(FileStore(folder, clock=clock, timeout=timedelta(seconds=0.1)), test) is True


@POSIX
def test_what_got_a_new_lifetime_meanwhile_is_not_pruned(folder, clock, waiters):
    async def test(store):
        await store.create("a", b"y", 10 * TTL)
        young = file_of(folder, "a").read_bytes()
        await store.delete("a")
        await store.create("a", b"x", 1)
        clock.tick(2)
        with Lock(folder, "a") as lock:
            async with anyio.create_task_group() as group:
                group.start_soon(store.prune)
                await waiters(4)
                file_of(folder, "a").write_bytes(young)
                lock.release()
        return await store.get("a")

    assert ask(FileStore(folder, clock=clock), test) == b"y"


# Locks and threads


@POSIX
def test_a_lock_of_another_process_fails_the_call_in_time_and_the_next_one_works(loop, folder):
    script = """
import fcntl, sys
lock = open(sys.argv[1], "wb")
fcntl.flock(lock, fcntl.LOCK_EX)
print("locked", flush=True)
sys.stdin.read()
"""

    async def test(store):
        await store.create("a", b"x", TTL)
        with start(script, Lock(folder, "a").path) as other:
            assert other.stdout.readline() == "locked\n"
            for change in (store.create, store.touch, store.replace, store.delete):
                args = {"create": (b"y", TTL), "touch": (TTL,), "replace": (b"y", TTL, b"x"), "delete": ()}
                with anyio.fail_after(10), pytest.raises(StoreUnavailable, match="locked for too long"):
                    await change("a", *args[change.__name__])
            assert await store.get("a") == b"x"
            other.kill()
        return await store.replace("a", b"y", TTL, b"x"), await store.get("a")

    assert run(loop, FileStore(folder, timeout=timedelta(seconds=0.1)), test) == (True, b"y")


@POSIX
def test_a_lock_keeps_no_other_task_waiting(loop, folder, waiters):
    async def test(store):
        await store.ping()
        with Lock(folder, "a") as lock:
            async with anyio.create_task_group() as group:
                group.start_soon(store.create, "a", b"x", TTL)
                await waiters(2)
                lock.release()  # which a loop that waits itself would never come to
        return await store.get("a")

    assert run(loop, FileStore(folder, timeout=timedelta(minutes=1)), test) == b"x"


@POSIX
def test_a_lock_file_that_was_deleted_meanwhile_lets_nobody_in(folder, waiters):
    async def test(store):
        await store.create("a", b"x", TTL)
        with Lock(folder, "a") as old:
            async with anyio.create_task_group() as group:
                group.start_soon(store.replace, "a", b"y", TTL, b"x")
                await waiters(2)
                old.path.unlink()
                with Lock(folder, "a") as new:
                    old.release()
                    await waiters(3)
                    assert await store.get("a") == b"x"
                    new.release()
        return await store.get("a")

    assert ask(FileStore(folder, timeout=timedelta(minutes=1)), test) == b"y"


@POSIX
@pytest.mark.parametrize("backend", ["asyncio", "trio"])
def test_of_cancelled_calls_each_is_done_or_never_begins(backend, folder, waiters):
    names = [f"{number}" for number in range(file._THREADS + 5)]

    async def test(store):
        await store.ping()
        with ExitStack() as locks:
            for digit in "0123456789abcdef":
                locks.enter_context(Lock(folder, digit, digit))
            async with anyio.create_task_group() as group:
                for name in names:
                    group.start_soon(store.create, name, b"x", TTL)
                    await anyio.sleep(0.001)  # one after the other, on trio too
                await waiters(1 + file._THREADS)
                group.cancel_scope.cancel()
        with anyio.fail_after(20):
            while len(list(folder.glob("*.session"))) < file._THREADS:  # noqa: ASYNC110  # nor of this
                await anyio.sleep(0.001)
        await store.create("next", b"y", TTL)
        return [await store.get(name) for name in names]

    done = [b"x"] * file._THREADS + [None] * 5
    assert run(backend, FileStore(folder), test) == done


@POSIX
def test_a_loop_that_has_ended_leaves_the_threads_at_work(folder, waiters, caplog):
    store = FileStore(folder)
    anyio.run(store.ping)
    with Lock(folder, "a"):

        async def leave():
            task = asyncio.ensure_future(store.create("a", b"x", TTL))
            await waiters(2)
            del task

        asyncio.run(leave())

    async def test(store):
        with anyio.fail_after(20):
            while await store.get("a") is None:  # noqa: ASYNC110  # nor of this
                await anyio.sleep(0.001)

    ask(store, test)
    assert caplog.records == []


def count_open_files():
    return len(list(Path("/dev/fd").iterdir()))


@pytest.mark.skipif(not Path("/dev/fd").exists(), reason="open files cannot be listed here")
def test_no_file_stays_open(folder):
    async def test(store):
        before = count_open_files()
        for number in range(10):
            await store.create(f"{number}", b"x", TTL)
            await store.get(f"{number}")
        return count_open_files() - before

    assert ask(FileStore(folder), test) == 0


def test_threads_and_loops_share_one_store(folder):
    assert counted_by_many_threads(FileStore(folder)) == b"120"


def threads():
    return {thread for thread in threading.enumerate() if thread.name.startswith("FileStore")}


def test_closing_ends_the_threads_and_a_later_call_starts_new_ones(loop, folder):
    before = threads()

    async def test(store):
        await store.create("a", b"x", TTL)
        await store.aclose()
        found = await store.get("a"), bool(threads() - before)
        await store.aclose()
        return found

    assert run(loop, FileStore(folder), test) == (b"x", True)
    assert wait_until(lambda: threads() <= before, "the threads go on")


# Faults


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="there is no /dev/full here")
def test_a_full_disk(loop, folder):
    async def test(store):
        await store.create("a", b"x", TTL)
        for name in ("a", "b"):
            file_of(folder, name, ".new").symlink_to("/dev/full")
        for call in (store.replace("a", b"y" * 5000, TTL, b"x"), store.create("b", b"y", TTL)):
            with pytest.raises(StoreUnavailable, match=r"failed: OSError \(ENOSPC\)"):
                await call
        assert list(folder.glob("*.new")) == []
        return await store.get("a"), await store.get("b"), await store.replace("a", b"y", TTL, b"x")

    assert run(loop, FileStore(folder), test) == (b"x", None, True)


def test_a_folder_that_cannot_be_made(loop, folder):
    folder.write_text("a file")

    async def test(store):
        for call in (store.get("a"), store.create("a", b"x", TTL), store.ping(), store.prune()):
            with pytest.raises(StoreUnavailable, match="the file store failed: NotADirectoryError"):
                await call
        folder.unlink()
        return await store.create("a", b"x", TTL), await store.get("a")

    assert run(loop, FileStore(folder), test) == (True, b"x")


def test_a_folder_that_is_taken_away_is_made_anew(folder):
    async def test(store):
        await store.create("a", b"x", TTL)
        shutil.rmtree(folder)
        found = await store.get("a"), await store.prune(), await store.touch("a", TTL)
        return *found, await store.create("a", b"y", TTL), await store.get("a")

    assert ask(FileStore(folder), test) == (None, 0, False, True, b"y")


def test_an_error_tells_no_path(folder):
    folder.mkdir()
    file_of(folder, "a").mkdir()

    async def test(store):
        with pytest.raises(StoreUnavailable) as failed:
            await store.get("a")
        return str(failed.value)

    assert ask(FileStore(folder), test) in (
        "the file store failed: IsADirectoryError (EISDIR)",
        "the file store failed: PermissionError (EACCES)",
    )


# Several processes


def test_two_processes_with_25_writers_each_lose_no_write(folder):
    assert written_by_two_processes(f"file://{folder}") == ALL_WRITTEN


def test_a_process_that_is_killed_while_it_writes_leaves_a_whole_record(folder):
    assert left_by_a_killed_writer(f"file://{folder}") == (True, True)


FORK = """
import os, sys
import anyio
from asgi_flask_session.stores.file import FileStore

store = FileStore(sys.argv[1])

async def create(name):
    await store.create(name, b"1", 60)

async def show(who):
    print(who, [await store.get(name) for name in ("parent", "child", "later")], flush=True)

print("ready", flush=True)
sys.stdin.readline()
anyio.run(create, "parent")
if child := os.fork():
    os.waitpid(child, 0)
    anyio.run(create, "later", backend="trio")
    anyio.run(show, "parent")
else:
    anyio.run(create, "child")
    anyio.run(show, "child")
"""


@pytest.mark.skipif(not hasattr(os, "fork"), reason="there is no fork here")
def test_a_store_that_was_used_before_a_fork_works_after_it(folder):
    (printed,) = together(FORK, (folder,))
    assert printed.splitlines() == ["child [b'1', b'1', None]", "parent [b'1', b'1', b'1']"]


FORK_UNDER_A_LOCK = """
import os, sys, time
import anyio
from asgi_flask_session.stores import file

store = file.FileStore(sys.argv[1])
print("ready", flush=True)
sys.stdin.readline()
here, there = os.pipe()
with store._locked(file._name("a"), time.monotonic() + 5):
    child = os.fork()
    if not child:
        os.read(here, 1)  # it has the lock's file open too
        os._exit(0)
print(anyio.run(store.create, "a", b"x", 60))
os.write(there, b"x")
"""


@POSIX
def test_a_child_that_was_forked_under_a_lock_keeps_it_from_nobody(folder):
    assert together(FORK_UNDER_A_LOCK, (folder,)) == ["True"]
