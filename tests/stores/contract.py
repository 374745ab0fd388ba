"""What every store keeps to, by itself and under sessions."""

import secrets
from contextlib import asynccontextmanager

import anyio
import pytest
from driver import SECRET, respond, scope_for

from asgi_flask_session import FlaskSessionASGI

TTL = 60


def key():
    return f"session:{secrets.token_urlsafe(32)}"


class Contract:
    """Subclass it as Test..., with ``opened`` and, where not every loop will do, ``loops``."""

    loops = ("asyncio", "trio")

    @asynccontextmanager
    async def opened(self, clock):
        """Yield a store that is closed afterwards. *clock* is the time of stores that take one."""
        raise NotImplementedError
        yield

    async def wait(self, seconds, clock):
        """Let the store's time pass."""
        clock.tick(seconds)

    def run(self, loop, clock, test):
        async def main():
            async with self.opened(clock) as store:
                return await test(store)

        return anyio.run(main, backend=loop)


class StoreContract(Contract):
    """The protocol: asgi_flask_session.asgi.Store."""

    def test_an_absent_key_is_none_and_can_be_deleted(self, loop, clock):
        async def test(store):
            name = key()
            await store.delete(name)
            return await store.get(name), await store.touch(name, TTL), await store.replace(name, b"x", TTL, b"")

        assert self.run(loop, clock, test) == (None, False, False)

    @pytest.mark.parametrize(
        "value", [b"{}", b"\x00\xff'\"\\\r\n;%s", bytes(range(256)) * 40], ids=["short", "odd", "10 KiB"]
    )
    def test_bytes_come_back_as_they_were(self, loop, clock, value):
        async def test(store):
            name = key()
            return await store.create(name, value, TTL), await store.get(name)

        assert self.run(loop, clock, test) == (True, value)

    def test_create_leaves_what_is_there(self, loop, clock):
        async def test(store):
            name = key()
            await store.create(name, b"first", TTL)
            return await store.create(name, b"second", TTL), await store.get(name)

        assert self.run(loop, clock, test) == (False, b"first")

    def test_replace_compares_the_bytes(self, loop, clock):
        async def test(store):
            name = key()
            await store.create(name, b"first", TTL)
            refused = await store.replace(name, b"no", TTL, b"First")
            done = await store.replace(name, b"second", TTL, b"first")
            again = await store.replace(name, b"third", TTL, b"first")
            return refused, done, again, await store.get(name)

        assert self.run(loop, clock, test) == (False, True, False, b"second")

    def test_replace_by_the_same_bytes_is_done(self, loop, clock):
        async def test(store):
            name = key()
            await store.create(name, b"same", TTL)
            return await store.replace(name, b"same", TTL, b"same"), await store.replace(name, b"same", TTL, b"same")

        assert self.run(loop, clock, test) == (True, True)

    def test_what_is_deleted_is_gone_for_every_method(self, loop, clock):
        async def test(store):
            name = key()
            await store.create(name, b"x", TTL)
            await store.delete(name)
            gone = await store.get(name), await store.replace(name, b"y", TTL, b"x"), await store.touch(name, TTL)
            return *gone, await store.get(name), await store.create(name, b"z", TTL)

        assert self.run(loop, clock, test) == (None, False, False, None, True)

    def test_what_is_over_is_gone_for_every_method(self, loop, clock):
        async def test(store):
            name = key()
            await store.create(name, b"x", 1)
            before = await store.get(name)
            await self.wait(2.1, clock)
            gone = await store.get(name), await store.replace(name, b"y", TTL, b"x"), await store.touch(name, TTL)
            return before, *gone, await store.get(name), await store.create(name, b"z", TTL), await store.get(name)

        assert self.run(loop, clock, test) == (b"x", None, False, False, None, True, b"z")

    def test_touch_and_replace_give_a_new_lifetime(self, loop, clock):
        async def test(store):
            touched, replaced, left = key(), key(), key()
            for name in (touched, replaced, left):
                await store.create(name, b"x", 1)
            done = await store.touch(touched, TTL), await store.replace(replaced, b"y", TTL, b"x")
            await self.wait(2.1, clock)
            return done, [await store.get(name) for name in (touched, replaced, left)]

        assert self.run(loop, clock, test) == ((True, True), [b"x", b"y", None])

    @pytest.mark.parametrize("ttl", [1, 30 * 86400, 30 * 86400 + 1, 31 * 86400, 400 * 86400, 2**31, 365_000 * 86400])
    def test_every_lifetime_that_settings_allow(self, loop, clock, ttl):
        async def test(store):
            name = key()
            done = await store.create(name, b"x", ttl), await store.touch(name, ttl)
            return *done, await store.replace(name, b"y", ttl, b"x"), await store.get(name)

        assert self.run(loop, clock, test) == (True, True, True, b"y")

    def test_of_many_that_replace_the_same_bytes_one_does(self, loop, clock):
        async def test(store):
            name, done = key(), []
            await store.create(name, b"x", TTL)

            async def replace(number):
                if await store.replace(name, b"%d" % number, TTL, b"x"):
                    done.append(b"%d" % number)

            async with anyio.create_task_group() as group:
                for number in range(20):
                    group.start_soon(replace, number)
            return done, await store.get(name)

        done, kept = self.run(loop, clock, test)
        assert done == [kept]

    def test_of_many_that_create_one_key_one_does(self, loop, clock):
        async def test(store):
            name, done = key(), []

            async def create(number):
                done.append(await store.create(name, b"%d" % number, TTL))

            async with anyio.create_task_group() as group:
                for number in range(20):
                    group.start_soon(create, number)
            return sum(done)

        assert self.run(loop, clock, test) == 1

    def test_ping_and_closing_twice(self, loop, clock):
        async def test(store):
            await store.ping()
            await store.aclose()
            await store.aclose()

        self.run(loop, clock, test)

    def test_its_repr_tells_nothing_that_is_kept(self, loop, clock):
        async def test(store):
            await store.create("session:0123456789abcdef", b"value-of-it", TTL)
            return repr(store)

        shown = self.run(loop, clock, test)
        assert "0123456789abcdef" not in shown
        assert "value-of-it" not in shown


class PruneContract(Contract):
    """Stores whose server does not forget by itself."""

    def test_prune_deletes_what_is_over_and_counts_it(self, loop, clock):
        async def test(store):
            old, young = key(), key()
            await store.create(old, b"x", 1)
            await store.create(young, b"y", TTL)
            await self.wait(2.1, clock)
            await store.prune()  # what earlier tests left in it
            for name in (key(), key(), key()):
                await store.create(name, b"x", 1)
            await self.wait(2.1, clock)
            return await store.prune(), await store.prune(), await store.get(young)

        assert self.run(loop, clock, test) == (3, 0, b"y")


class UsersContract(Contract):
    """Stores that can look through all records."""

    def test_sessions_of_a_user_are_listed_and_revoked(self, loop, clock):
        async def test(store):
            user, other = secrets.token_hex(8), secrets.token_hex(8)
            mine = [key() for _ in range(3)]
            for name in mine:
                await store.create(name, b'{"_user_id":"%s"}' % user.encode(), TTL)
            packed = key()  # Flask-Session's MessagePack
            await store.create(packed, b"\x81\xa8_user_id\xb0" + user.encode(), TTL)
            theirs, nobodys = key(), key()
            await store.create(theirs, b'{"_user_id":"%s"}' % other.encode(), TTL)
            await store.create(nobodys, b'{"x":"_user_id"}', TTL)
            listed = await store.sessions_of(user)
            kept = mine[0].removeprefix("session:")
            revoked = await store.revoke_user(user, keep=kept)
            left = [name for name in (*mine, packed, theirs, nobodys) if await store.get(name) is not None]
            return (
                sorted(listed) == sorted([*mine, packed]),
                revoked,
                left == [mine[0], theirs, nobodys],
                await store.revoke_user(user),
            )

        assert self.run(loop, clock, test) == (True, 3, True, 1)


class SessionContract(Contract):
    """Sessions on the store: what one process promises, whatever the store is."""

    delay = 0.005  # seconds that a request takes, so that all overlap
    timeout = 5.0  # seconds for one call of the store, with fifty at once on one core

    def app(self, handle, store, **fields):
        async def app(scope, receive, send):
            await anyio.sleep(self.delay)
            handle(scope["session"], scope)
            await respond(send)

        return FlaskSessionASGI(app, SECRET, store=store, store_timeout=self.timeout, **fields)

    @staticmethod
    async def ask(app, cookie=None, **scope):
        """Return the value of the cookie that is set: "" for a deletion, None for none."""
        messages = []

        async def send(message):
            messages.append(message)

        async def receive():
            return {"type": "http.request"}

        await app(scope_for(cookie, **scope), receive, send)
        assert messages[0]["status"] == 200
        lines = [value.decode() for name, value in messages[0]["headers"] if name == b"set-cookie"]
        assert len(lines) <= 1
        return lines[0].partition(";")[0].partition("=")[2] if lines else None

    async def together(self, *calls):
        answers = [None] * len(calls)

        async def answer(number, call):
            answers[number] = await call

        async with anyio.create_task_group() as group:
            for number, call in enumerate(calls):
                group.start_soon(answer, number, call)
        return answers

    @pytest.mark.parametrize("turn", range(5))
    def test_fifty_requests_at_once_lose_no_write(self, loop, clock, turn):
        async def test(store):
            def write(session, scope):
                session[scope["path"]] = True

            seen = {}
            app = self.app(write, store)
            cookie = await self.ask(app, path="/first")
            await self.together(*(self.ask(app, cookie, path=f"/{number}") for number in range(50)))
            await self.ask(self.app(lambda session, scope: seen.update(session), store), cookie)
            return set(seen)

        assert self.run(loop, clock, test) == {"/first", *(f"/{number}" for number in range(50))}

    def test_fifty_increments_under_regenerates_that_keep_them(self, loop, clock):
        async def test(store):
            def write(session, scope):
                session[scope["path"]] = True

            def regenerate(session, scope):
                write(session, scope)
                session.regenerate()

            writer, renewer = self.app(write, store), self.app(regenerate, store)
            cookie = await self.ask(writer, path="/first")
            written = [self.ask(writer, cookie, path=f"/{number}") for number in range(20)]
            answers = await self.together(*written, *(self.ask(renewer, cookie, path=f"/r{n}") for n in range(5)))
            renewed = [answer for answer in answers[20:] if answer]
            kept = [f"/{number}" for number, answer in enumerate(answers[:20]) if answer]
            seen = {}
            await self.ask(self.app(lambda session, scope: seen.update(session), store), renewed[0])
            return len(renewed), await store.get(f"session:{cookie}"), set(kept) - set(seen)

        live, old, missing = self.run(loop, clock, test)
        assert (live, old, missing) == (1, None, set())

    def test_a_logout_during_late_writes_stays_one(self, loop, clock):
        async def test(store):
            def handle(session, scope):
                session.clear() if scope["path"] == "/logout" else session.update({scope["path"]: True})

            app = self.app(handle, store)
            cookie = await self.ask(app, path="/first")
            paths = ["/logout" if number == 25 else f"/{number}" for number in range(50)]
            answers = await self.together(*(self.ask(app, cookie, path=path) for path in paths))
            return (
                answers[25],
                await store.get(f"session:{cookie}"),
                await self.ask(app, cookie, path="/later") == cookie,
            )

        assert self.run(loop, clock, test) == ("", None, False)

    def test_a_read_writes_nothing(self, loop, clock):
        async def test(store):
            cookie = await self.ask(self.app(lambda session, scope: session.update(n=[1]), store))
            calls = []

            class Watched:
                def __getattr__(self, name):
                    calls.append(name)
                    return getattr(store, name)

            reader = self.app(lambda session, scope: session["n"], Watched())
            calls.clear()
            return await self.ask(reader, cookie), calls

        assert self.run(loop, clock, test) == (None, ["get"])

    def test_an_unknown_id_is_never_adopted(self, loop, clock):
        async def test(store):
            unknown = secrets.token_urlsafe(32)
            cookie = await self.ask(self.app(lambda session, scope: session.update(a=1), store), unknown)
            return cookie not in (None, "", unknown), await store.get(f"session:{unknown}")

        assert self.run(loop, clock, test) == (True, None)

    def test_a_login_gives_a_new_id_and_the_old_one_is_dead(self, loop, clock):
        async def test(store):
            seen = []
            before = await self.ask(self.app(lambda session, scope: session.update(cart=[1]), store))
            after = await self.ask(self.app(lambda session, scope: session.update(_user_id="7"), store), before)
            reader = self.app(lambda session, scope: seen.append(dict(session)), store)
            for cookie in (before, after):
                await self.ask(reader, cookie)
            return before != after, seen

        assert self.run(loop, clock, test) == (True, [{}, {"cart": [1], "_user_id": "7"}])
