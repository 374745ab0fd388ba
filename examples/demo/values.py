"""One value of every type that a session keeps, and a comparison that takes no type for another."""

from datetime import UTC, datetime
from typing import Any
from uuid import UUID

from markupsafe import Markup


def samples(seed: int) -> dict[str, Any]:
    """Return a value of every type. Another *seed* makes others, so that none is left from before."""
    return {
        "str": f"Gr\N{LATIN SMALL LETTER U WITH DIAERESIS}ezi {seed} \N{SNOWMAN}",
        "int": 2**60 + seed,
        "float": seed + 0.1,
        "bool": seed % 2 == 0,
        "None": None,
        "list": [seed, "two", [3.0, None, False]],
        "dict": {"seed": seed, "inner": {"empty": {}}},
        "tuple": (seed, ("inner",), ()),
        "bytes": b"\x00\xff %d" % seed,
        "UUID": UUID(int=2**100 + seed),
        # Whole seconds: the tag is an HTTP date.
        "datetime": datetime.fromtimestamp(1_700_000_000 + seed, UTC),
        "Markup": Markup("<b>%d</b>") % seed,
        "dict like a tag": {" t": [seed]},
        "tags within": {"list": [(UUID(int=seed), b""), {" u": Markup("<i>")}]},
    }


def same(one: Any, other: Any) -> bool:
    """Say whether two values are equal and of equal types, which ``1 == True`` is not."""
    if type(one) is not type(other):
        return False
    if isinstance(one, dict):
        return one.keys() == other.keys() and all(same(one[key], other[key]) for key in one)
    if isinstance(one, list | tuple):
        return len(one) == len(other) and all(map(same, one, other))
    return bool(one == other)
