"""Two changes of one session, made apart from each other, into one."""

from collections.abc import Callable, Mapping
from typing import Any


def merge(
    base: Mapping[str, Any],
    theirs: Mapping[str, Any],
    ours: Mapping[str, Any],
    same: Callable[[Any, Any], bool],
) -> dict[str, Any]:
    """Return *theirs* with what *ours* changed since *base* on top, top-level key by top-level key.

    *same* says whether two values are written alike. A key that both changed is ours, the later writer's.
    A key that either deleted stays deleted, so that no logout is undone: of a key that we changed and they
    deleted, our change is dropped.
    """
    changed = {
        key: value for key, value in ours.items() if key not in base or (key in theirs and not same(value, base[key]))
    }
    return {key: value for key, value in {**theirs, **changed}.items() if key in ours or key not in base}
