"""The store of SESSION_TYPE "null"."""

from typing import Any


class NullStore:
    """Takes every record, and keeps none."""

    async def get(self, *_: Any) -> bytes | None:
        """Return None."""
        return None

    async def create(self, *_: Any) -> bool:
        """Say that it is stored, as far as it ever will be."""
        return True

    async def replace(self, *_: Any) -> bool:
        """Say that there is nothing to replace."""
        return False

    async def touch(self, *_: Any) -> bool:
        """Say that there is nothing to keep for longer."""
        return False

    async def delete(self, *_: Any) -> None:
        """Do nothing."""

    async def aclose(self) -> None:
        """Do nothing."""
