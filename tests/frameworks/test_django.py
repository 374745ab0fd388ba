"""Django's ASGI handler, with ten lines of middleware that put the session where Django's views look for it."""

import gc

import pytest
from django.conf import settings
from django.core.asgi import get_asgi_application
from django.core.exceptions import PermissionDenied
from django.http import HttpResponse, JsonResponse, StreamingHttpResponse
from django.test.utils import override_settings
from django.urls import include, path
from django.utils.decorators import async_only_middleware
from driver import SECRET
from frameworks.contract import ACTIONS, BASE, CHANGES, Contract
from frameworks.drive import Client

from asgi_flask_session import FlaskSessionASGI


@async_only_middleware
def flask_session(get_response):
    async def middleware(request):
        request.session = request.scope["session"]
        return await get_response(request)

    return middleware


async def do(request, action):
    ACTIONS[action](request)
    return HttpResponse()


def do_in_a_thread(request, action):
    ACTIONS[action](request)
    return HttpResponse()


async def as_dict(request):
    return JsonResponse(dict(request.session))


async def forbidden(request):
    ACTIONS["write"](request)
    raise PermissionDenied


async def error(request):
    ACTIONS["write"](request)
    raise RuntimeError


async def stream(request, action):
    async def parts():
        yield "one"
        ACTIONS[action](request)
        yield "two"

    ACTIONS["write"](request)
    return StreamingHttpResponse(parts())


async def assign(request):
    request.session = {"b": 2}
    return HttpResponse()


def handler500(request):
    return HttpResponse("sorry", status=500)


routes = [
    path("do/<action>", do),
    path("thread/<action>", do_in_a_thread),
    path("dict", as_dict),
    path("forbidden", forbidden),
    path("handled", error),
    path("error", error),
    path("stream/<action>", stream),
    path("assign", assign),
]
urlpatterns = [*routes, path("sub/", include(routes))]


@pytest.fixture(autouse=True, scope="module")
def _settings():
    """Django's settings are one for each process: ours, for the tests of this module."""
    if not settings.configured:
        settings.configure(SECRET_KEY="of-django-alone")
    with override_settings(
        ALLOWED_HOSTS=["*"],
        LOGGING_CONFIG=None,
        MIDDLEWARE=[f"{__name__}.flask_session"],
        ROOT_URLCONF=__name__,
    ):
        yield


class TestDjango(Contract):
    """All errors are answered inside, the custom handler500 too, so that they save."""

    backends = ("asyncio",)  # its threads are asgiref's

    @staticmethod
    def app():
        return FlaskSessionASGI(get_asgi_application(), SECRET)

    @pytest.mark.filterwarnings("ignore:.*SpooledTemporaryFile:ResourceWarning")
    def test_what_cannot_be_written_is_a_500_without_a_cookie(self, client):
        """Django before 6 leaves the request's body open when send raises; here it is collected."""
        super().test_what_cannot_be_written_is_a_500_without_a_cookie(client)
        gc.collect()


@pytest.fixture
def client():
    return Client(FlaskSessionASGI(get_asgi_application(), SECRET))


def test_view_in_a_thread_shares_the_session(client):
    assert client.get("/thread/write", BASE).session == CHANGES["write"]


def test_custom_handler500_answers_and_saves(client):
    """W11: with Django's own sessions a 500 saves nothing."""
    answer = client.get("/error", BASE)
    assert (answer.status, answer.body, answer.session) == (500, b"sorry", CHANGES["write"])


def test_session_assigned_to_the_request_is_lost(client):
    """W6: only the scope counts; clear() and update() change what is there."""
    assert client.get("/assign", BASE).set_cookies == []


def test_session_is_read_from_cookies_that_came_apart(client):
    """R8."""
    headers = [(b"cookie", b"theme=dark"), (b"cookie", b"lang=de")]
    assert client.get("/dict", BASE, headers=headers).json == BASE
