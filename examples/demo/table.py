"""The table in the terminal: rows of six cells, one per app that read."""

from collections.abc import Callable, Iterable

APPS = {
    "flask": "Flask",
    "fastapi": "FastAPI",
    "litestar": "Litestar",
    "quart": "Quart",
    "django": "Django",
    "raw": "raw ASGI",
}
LABEL = 26


class Table:
    """Prints cells as they come, and remembers what was wrong."""

    def __init__(self, write: Callable[[str], object]) -> None:
        self.write = write
        self.title = ""
        self.wrong: list[str] = []

    def head(self, title: str) -> None:
        self.title = title
        columns = "".join(f"{name:>{len(name) + 2}}" for name in APPS.values())
        self.write(f"\n{title:<{LABEL}}{columns}\n")

    def row(self, label: str, faults: Iterable[str | None]) -> None:
        """Print one row: a cell is right if its fault is None."""
        seen_by: dict[str, list[str]] = {}
        self.write(f"  {label:<{LABEL - 2}}")
        for name, fault in zip(APPS.values(), faults, strict=True):
            self.write(f"{'ok' if fault is None else 'WRONG':>{len(name) + 2}}")
            if fault is not None:
                seen_by.setdefault(fault, []).append(name)
        self.write("\n")
        for fault, names in seen_by.items():
            self.wrong.append(f"{self.title} {label}, seen by {', '.join(names)}: {fault}")

    def line(self, text: str, fault: str | None = None) -> None:
        """Print a result that is not of one app."""
        self.write(f"{text}\n" if fault is None else f"WRONG: {text}\n")
        if fault is not None:
            self.wrong.append(fault)
