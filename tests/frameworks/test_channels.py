"""Channels: consumers behind its own routers and session middleware, with ours outside of all."""

import pytest
from django.conf import settings
from driver import SECRET
from frameworks.contract import ACTIONS, BASE, CHANGES
from frameworks.drive import Client

from asgi_flask_session import FlaskSessionASGI

pytest.importorskip("channels")

if not settings.configured:
    settings.configure(SECRET_KEY="of-django-alone")

from channels.generic.websocket import AsyncWebsocketConsumer  # it asks for Django's settings
from channels.routing import ProtocolTypeRouter, URLRouter
from channels.sessions import SessionMiddlewareStack
from django.urls import path


class OfTheScope:
    def __init__(self, scope):
        self.scope = scope
        self.session = scope["session"]


class Consumer(AsyncWebsocketConsumer):
    async def connect(self):
        ACTIONS[self.scope["url_route"]["kwargs"]["action"]](OfTheScope(self.scope))
        await self.accept()
        await self.close()


ROUTES = URLRouter([path("ws/<action>", Consumer.as_asgi())])


@pytest.fixture(params=[ROUTES, SessionMiddlewareStack(ROUTES)], ids=["plain", "with its sessions"])
def client(request):
    """Channels' own session middleware finds a session there, and keeps an attribute of its own on it."""
    return Client(FlaskSessionASGI(ProtocolTypeRouter({"websocket": request.param}), SECRET))


@pytest.mark.parametrize("action", ["write", "delete", "nested", "clear", "nothing"])
def test_change_before_accept_goes_out_with_the_handshake(client, action):
    """W2."""
    assert client.websocket(f"/ws/{action}", BASE).session == CHANGES.get(action)


def test_session_replaced_in_a_copy_of_the_scope_is_lost(client):
    """W6: Channels copies the scope; clear() and update() change what is there."""
    assert client.websocket("/ws/replace", BASE).session is None
