"""Litestar: ``request.session``."""

from typing import Any

from litestar import Litestar, Request, get, post

from .actions import flash, log_out, remove, take_flashes, view, write_types, wrong_types


@get("/session")
async def show(request: Request) -> dict[str, Any]:
    return view(request.session)


@post("/set")
async def set_value(request: Request) -> dict[str, Any]:
    body = await request.json()
    request.session[body["key"]] = body["value"]
    return {}


@post("/remove")
async def remove_keys(request: Request) -> dict[str, Any]:
    remove(request.session, (await request.json())["keys"])
    return {}


@post("/types")
async def write(request: Request) -> dict[str, Any]:
    write_types(request.session, (await request.json())["seed"])
    return {}


@get("/types")
async def compare(request: Request) -> dict[str, Any]:
    return {"wrong": wrong_types(request.session, int(request.query_params["seed"]))}


@post("/flash")
async def flash_text(request: Request) -> dict[str, Any]:
    flash(request.session, (await request.json())["text"])
    return {}


@post("/flashes")
async def read_flashes(request: Request) -> dict[str, Any]:
    return {"messages": take_flashes(request.session)}


@post("/logout")
async def forget_user(request: Request) -> dict[str, Any]:
    log_out(request.session)
    return {}


app = Litestar(
    [show, set_value, remove_keys, write, compare, flash_text, read_flashes, forget_user],
    openapi_config=None,
    logging_config=None,
)
