"""W6: objects with fields as plain data."""

from dataclasses import dataclass
from types import SimpleNamespace

import pytest

from asgi_flask_session.models import fields_of


@dataclass
class Item:
    name: str


class Model:
    """As one of pydantic's says of itself."""

    def model_dump(self):
        return {"a": 1}


@dataclass
class Cart:
    items: list
    first: Item
    pair: tuple
    by_name: dict


def test_fields_of_a_dataclass_nested_in_what_holds_it():
    cart = Cart([Item("a"), 1], Item("b"), (Item("c"), 2), {"d": Item("d")})
    assert fields_of(cart) == {
        "items": [{"name": "a"}, 1],
        "first": {"name": "b"},
        "pair": ({"name": "c"}, 2),
        "by_name": {"d": {"name": "d"}},
    }


def test_fields_of_a_struct_an_attrs_class_and_a_model():
    """By what each library says of its classes; the real ones are in the tests of the frameworks."""
    struct = SimpleNamespace(__struct_fields__=("a",), a=1)
    attrs = SimpleNamespace(__attrs_attrs__=(SimpleNamespace(name="a"),), a=1)
    assert fields_of(struct) == fields_of(attrs) == fields_of(Model()) == {"a": 1}


@pytest.mark.parametrize("value", [None, 1, "text", {"a": 1}, object(), Item, Model])
def test_anything_else_has_no_fields(value):
    assert fields_of(value) is None
