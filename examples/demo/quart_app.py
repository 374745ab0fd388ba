"""Quart: ``request.scope["session"]``. Its own ``quart.session`` has no secret here, and stays out."""

from typing import Any

from quart import Quart, request

from .actions import flash, log_out, remove, take_flashes, view, write_types, wrong_types

app = Quart(__name__, static_folder=None)


@app.get("/session")
async def show() -> Any:
    return view(request.scope["session"])


@app.post("/set")
async def set_value() -> Any:
    body = await request.get_json()
    request.scope["session"][body["key"]] = body["value"]
    return {}


@app.post("/remove")
async def remove_keys() -> Any:
    remove(request.scope["session"], (await request.get_json())["keys"])
    return {}


@app.post("/types")
async def write() -> Any:
    write_types(request.scope["session"], (await request.get_json())["seed"])
    return {}


@app.get("/types")
async def compare() -> Any:
    return {"wrong": wrong_types(request.scope["session"], int(request.args["seed"]))}


@app.post("/flash")
async def flash_text() -> Any:
    flash(request.scope["session"], (await request.get_json())["text"])
    return {}


@app.post("/flashes")
async def read_flashes() -> Any:
    return {"messages": take_flashes(request.scope["session"])}


@app.post("/logout")
async def forget_user() -> Any:
    log_out(request.scope["session"])
    return {}
