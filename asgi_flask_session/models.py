"""Objects with fields (dataclass, msgspec, attrs, pydantic) as plain data, none of their libraries imported."""

from collections.abc import Mapping
from typing import Any


def fields_of(value: Any) -> dict[str, Any] | None:
    """Return the fields of a dataclass, struct or model by name, nested ones too; None for anything else."""
    if isinstance(value, type):
        return None
    if hasattr(type(value), "__dataclass_fields__"):
        from dataclasses import fields  # whoever made a dataclass has loaded it already

        names = [field.name for field in fields(value)]
    elif hasattr(value, "__struct_fields__"):  # msgspec.Struct
        names = list(value.__struct_fields__)
    elif hasattr(value, "__attrs_attrs__"):
        names = [attribute.name for attribute in value.__attrs_attrs__]
    elif callable(getattr(value, "model_dump", None)):  # pydantic.BaseModel
        return dict(value.model_dump())
    else:
        return None
    return {name: _plain(getattr(value, name)) for name in names}


def _plain(value: Any) -> Any:
    if (fields := fields_of(value)) is not None:
        return fields
    if isinstance(value, Mapping):
        return {key: _plain(item) for key, item in value.items()}
    if type(value) in (list, tuple):
        return type(value)(_plain(item) for item in value)
    return value
