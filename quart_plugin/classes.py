"""Sessions of other classes: any mapping with ``permanent``, and with such marks as Flask's session has."""

from contextlib import suppress
from typing import Any

from asgi_flask_session.session import Session, plain
from asgi_flask_session.side import Side

ADOPTED = "_quart_adopted"  # an attribute of a session that we did not open, so that nobody knows what came


def is_ours(session_class: Any) -> bool:
    """Say whether it is Session, or a subclass of it."""
    return isinstance(session_class, type) and issubclass(session_class, Session)


def of_class(session_class: Any, session: Session) -> Any:
    """Return a session of another class with the same data."""
    made = session_class(plain(session))
    tell(made, permanent=bool(dict.get(session, "_permanent")))
    tell(made, sid=session.sid, new=session.new, modified=False, accessed=False)
    return made


def data_of(theirs: Any) -> dict[str, Any]:
    """Return the data of a session of another class, where ``permanent`` may be apart from them."""
    data = plain(theirs)
    if not getattr(theirs, "permanent", False):
        data.pop("_permanent", None)
    elif data:
        data["_permanent"] = True
    return data


def tell(theirs: Any, **marks: Any) -> None:
    """Set the attributes that a session of another class has, and that can be set."""
    for name, value in marks.items():
        if getattr(theirs, name, value) != value:
            with suppress(AttributeError):
                setattr(theirs, name, value)


def differs(side: Side, session: Session, *, otherwise: bool) -> bool:
    """Say whether the data is not what came, or was last written; *otherwise* where nobody knows what came."""
    if side.came(session) is not None:
        return side.differs(session)
    if ADOPTED in vars(session):
        return otherwise
    return dict.__len__(session) > 0
