"""Django ASGI: a small middleware makes the session ``request.session``."""

import json
from typing import Any

from django.conf import settings
from django.core.asgi import get_asgi_application
from django.http import HttpRequest, HttpResponse, JsonResponse
from django.urls import path
from django.utils.decorators import async_only_middleware
from django.views.decorators.http import require_GET, require_POST

from .actions import flash, log_out, remove, take_flashes, view, write_types, wrong_types


@async_only_middleware
def shared_session(get_response: Any) -> Any:
    async def middleware(request: Any) -> HttpResponse:
        request.session = request.scope["session"]
        response: HttpResponse = await get_response(request)
        return response

    return middleware


@require_GET
async def show(request: HttpRequest) -> JsonResponse:
    return JsonResponse(view(request.session))


@require_POST
async def set_value(request: HttpRequest) -> JsonResponse:
    body = json.loads(request.body)
    request.session[body["key"]] = body["value"]
    return JsonResponse({})


@require_POST
async def remove_keys(request: HttpRequest) -> JsonResponse:
    remove(request.session, json.loads(request.body)["keys"])
    return JsonResponse({})


async def types(request: HttpRequest) -> JsonResponse:
    if request.method != "POST":
        return JsonResponse({"wrong": wrong_types(request.session, int(request.GET["seed"]))})
    write_types(request.session, json.loads(request.body)["seed"])
    return JsonResponse({})


@require_POST
async def flash_text(request: HttpRequest) -> JsonResponse:
    flash(request.session, json.loads(request.body)["text"])
    return JsonResponse({})


@require_POST
async def read_flashes(request: HttpRequest) -> JsonResponse:
    return JsonResponse({"messages": take_flashes(request.session)})


@require_POST
async def forget_user(request: HttpRequest) -> JsonResponse:
    log_out(request.session)
    return JsonResponse({})


urlpatterns = [
    path("session", show),
    path("set", set_value),
    path("remove", remove_keys),
    path("types", types),
    path("flash", flash_text),
    path("flashes", read_flashes),
    path("logout", forget_user),
]

# Not Django's SessionMiddleware: two writers of one cookie would undo each other.
settings.configure(
    ROOT_URLCONF=__name__,
    MIDDLEWARE=[f"{__name__}.shared_session"],
    ALLOWED_HOSTS=["127.0.0.1", "localhost"],
    USE_TZ=True,
)
app = get_asgi_application()
