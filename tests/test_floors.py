"""STYLE 1: imports go down only, and importing the package loads nothing that it does not need."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest

import asgi_flask_session

PACKAGE = Path(asgi_flask_session.__file__).parent

FLOORS = [
    ["errors", "asgi", "logs", "dates", "environ"],
    ["tagged_json", "payload", "cookies", "settings", "session", "models", "checks", "addresses"],
    ["signing", "policy", "merge", "ids", "records", "lazy", "login", "csrf", "flashes"],
    sorted(f"stores/{path.stem}" for path in (PACKAGE / "stores").glob("*.py")),
    ["side", "revocation", "client_side", "server_side"],
    ["unavailable", "scopes", "stored", "middleware", "background", "migration", "sides"],
    [
        "__init__",
        "examination",
        "doctor",
        "cli",
        "__main__",
        "testing",
        *sorted(path.relative_to(PACKAGE).with_suffix("").as_posix() for path in (PACKAGE / "adapters").rglob("*.py")),
    ],
]
FLOOR = {module: number for number, modules in enumerate(FLOORS) for module in modules}
PURE = [module for modules in FLOORS[:3] for module in modules]
ALLOWED = {*sys.stdlib_module_names, "itsdangerous", "markupsafe"}
FORMATS = {"records": {"msgspec"}}  # met only in records of that format


def imports_of(module):
    tree = ast.parse((PACKAGE / f"{module}.py").read_text("utf-8"))
    folder = module.rpartition("/")[0]
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from ((0, alias.name) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            if not node.level:
                yield 0, node.module
                continue
            name = (node.module or "__init__").replace(".", "/")
            yield node.level, f"{folder}/{name}" if folder and node.level == 1 else name


def test_every_module_has_its_floor():
    found = {path.relative_to(PACKAGE).with_suffix("").as_posix() for path in PACKAGE.rglob("*.py")}
    assert found == set(FLOOR)


@pytest.mark.parametrize("module", FLOOR)
def test_imports_go_down_only(module):
    assert [name for level, name in imports_of(module) if level and FLOOR[name] > FLOOR[module]] == []


def test_modules_of_one_floor_import_each_other_in_no_circle():
    order = {}

    def depth(module, above=()):
        assert module not in above, f"{module} imports itself by way of {above}"
        if module not in order:
            below = [name for level, name in imports_of(module) if level]
            order[module] = 1 + max((depth(name, (*above, module)) for name in below), default=0)
        return order[module]

    assert all(depth(module) for module in FLOOR)


@pytest.mark.parametrize("module", PURE)
def test_pure_floors_import_the_standard_library_and_two_more(module):
    assert {name.partition(".")[0] for level, name in imports_of(module) if not level} <= ALLOWED | FORMATS.get(
        module, set()
    )


@pytest.mark.parametrize("module", PURE)
def test_pure_floors_do_not_await(module):
    tree = ast.parse((PACKAGE / f"{module}.py").read_text("utf-8"))
    assert not [node for node in ast.walk(tree) if isinstance(node, ast.Await | ast.AsyncFor | ast.AsyncWith)]


def modules_after(name):
    code = f"import sys, {name}; print(*sys.modules)"
    done = subprocess.run(
        [sys.executable, "-Es", "-c", code], check=True, capture_output=True, text=True, cwd=PACKAGE.parent
    )
    return set(done.stdout.split())


def test_import_loads_no_framework_no_client_and_no_loop():
    tops = {name.partition(".")[0] for name in modules_after("asgi_flask_session") - modules_after("sys")}
    assert tops - set(sys.stdlib_module_names) <= {"asgi_flask_session", "itsdangerous"}
    assert not tops & {"asyncio", "email", "http", "urllib", "ssl", "socket"}
    assert not tops & {"dataclasses", "inspect", "logging"}  # each takes about as long to load as all of ours


def test_init_exports_what_it_imports():
    assert set(asgi_flask_session.__dict__) >= {
        "FlaskSessionASGI", "Session", "Settings", "SessionError", "SettingsError", "BadCookie",
        "UnwritableSession", "CookieTooLarge", "SessionWarning", "JSONTag", "BadRecord",
        "SessionNotLoaded", "StoreUnavailable", "TaggedJSONSerializer",
    }  # fmt: skip
