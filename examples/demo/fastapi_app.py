"""FastAPI: ``request.session``, here as a dependency."""

from typing import Annotated, Any

from fastapi import Body, Depends, FastAPI, Request

from .actions import flash, log_out, remove, take_flashes, view, write_types, wrong_types

app = FastAPI()


async def session_of(request: Request) -> Any:
    return request.session


Session = Annotated[Any, Depends(session_of)]


@app.get("/session")
async def show(session: Session) -> dict[str, Any]:
    return view(session)


@app.post("/set")
async def set_value(session: Session, key: Annotated[str, Body()], value: Annotated[str, Body()]) -> dict[str, Any]:
    session[key] = value
    return {}


@app.post("/remove")
async def remove_keys(session: Session, keys: Annotated[list[str], Body(embed=True)]) -> dict[str, Any]:
    remove(session, keys)
    return {}


@app.post("/types")
async def write(session: Session, seed: Annotated[int, Body(embed=True)]) -> dict[str, Any]:
    write_types(session, seed)
    return {}


@app.get("/types")
async def compare(session: Session, seed: int) -> dict[str, Any]:
    return {"wrong": wrong_types(session, seed)}


@app.post("/flash")
async def flash_text(session: Session, text: Annotated[str, Body(embed=True)]) -> dict[str, Any]:
    flash(session, text)
    return {}


@app.post("/flashes")
async def read_flashes(session: Session) -> dict[str, Any]:
    return {"messages": take_flashes(session)}


@app.post("/logout")
async def forget_user(session: Session) -> dict[str, Any]:
    log_out(session)
    return {}
