"""The store of SESSION_TYPE "null"."""

# ruff: noqa: ARG002  # it looks at nothing


class NullStore:
    """Takes every record, and keeps none."""

    async def get(self, key: str) -> bytes | None:
        """Return None."""
        return None

    async def create(self, key: str, value: bytes, ttl: int) -> bool:
        """Say that it is stored, as far as it ever will be."""
        return True

    async def replace(self, key: str, value: bytes, ttl: int, expected: bytes) -> bool:
        """Say that there is nothing to replace."""
        return False

    async def touch(self, key: str, ttl: int) -> bool:
        """Say that there is nothing to keep for longer."""
        return False

    async def delete(self, key: str) -> None:
        """Do nothing."""

    async def aclose(self) -> None:
        """Do nothing."""
