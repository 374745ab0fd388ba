"""One module for each framework, which imports that framework only; imported by its path."""


def missing(error: ImportError, extra: str) -> ImportError:
    """Return the error of an adapter whose framework cannot be imported, saying which *extra* to install."""
    return type(error)(f"{error}: pip install asgi-flask-session[{extra}]", name=error.name, path=error.path)
