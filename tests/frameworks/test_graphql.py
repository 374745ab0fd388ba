"""Strawberry and Ariadne: queries and mutations write the session, subscriptions read it."""

from collections.abc import AsyncGenerator

import ariadne
import ariadne.asgi
import pytest
import strawberry
import strawberry.asgi
from ariadne.asgi.handlers import GraphQLTransportWSHandler
from driver import SECRET
from starlette.applications import Starlette
from starlette.routing import Mount
from starlette.testclient import TestClient

from asgi_flask_session import FlaskSessionASGI
from asgi_flask_session.testing import make_cookie, read_cookie


def session_of(info):
    return info.context["request"].session


@strawberry.type
class Query:
    @strawberry.field
    def user(self, info: strawberry.Info) -> str:
        return session_of(info)["user"]


@strawberry.type
class Mutation:
    @strawberry.mutation
    def rename(self, info: strawberry.Info, to: str) -> str:
        session_of(info)["user"] = to
        return to


@strawberry.type
class Subscription:
    @strawberry.subscription
    async def user(self, info: strawberry.Info) -> AsyncGenerator[str, None]:
        yield session_of(info)["user"]


def of_strawberry():
    return strawberry.asgi.GraphQL(strawberry.Schema(Query, Mutation, Subscription))


def of_ariadne():
    query, mutation, subscription = ariadne.QueryType(), ariadne.MutationType(), ariadne.SubscriptionType()
    query.set_field("user", lambda _, info: session_of(info)["user"])

    @mutation.field("rename")
    def rename(_, info, to):
        session_of(info)["user"] = to
        return to

    @subscription.source("user")
    async def users(_, info):
        yield session_of(info)["user"]

    subscription.set_field("user", lambda user, info: user)
    schema = """
        type Query { user: String! }
        type Mutation { rename(to: String!): String! }
        type Subscription { user: String! }
    """
    schema = ariadne.make_executable_schema(schema, query, mutation, subscription)
    return ariadne.asgi.GraphQL(schema, websocket_handler=GraphQLTransportWSHandler())


@pytest.fixture(params=[of_strawberry, of_ariadne])
def client(request):
    app = FlaskSessionASGI(Starlette(routes=[Mount("/", request.param())]), SECRET)
    with TestClient(app, headers={"Cookie": f"session={make_cookie({'user': 'ada'}, SECRET)}"}) as client:
        yield client


def test_query_reads_the_session(client):
    answer = client.post("/", json={"query": "{ user }"})
    assert answer.json() == {"data": {"user": "ada"}}
    assert ("Set-Cookie" in answer.headers, answer.headers["Vary"]) == (False, "Cookie")


def test_mutation_writes_the_session(client):
    answer = client.post("/", json={"query": 'mutation { rename(to: "grace") }'})
    assert answer.json() == {"data": {"rename": "grace"}}
    assert read_cookie(answer.headers["Set-Cookie"], SECRET) == {"user": "grace"}


def test_subscription_reads_the_session(client):
    with client.websocket_connect("/", subprotocols=["graphql-transport-ws"]) as socket:
        socket.send_json({"type": "connection_init"})
        assert socket.receive_json()["type"] == "connection_ack"
        socket.send_json({"id": "1", "type": "subscribe", "payload": {"query": "subscription { user }"}})
        assert socket.receive_json()["payload"] == {"data": {"user": "ada"}}
