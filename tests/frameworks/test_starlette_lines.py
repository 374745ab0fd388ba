"""Starlette's earlier lines: its tests once more, each line installed into a folder of its own."""

import os
import subprocess
import sys
from importlib.metadata import version
from pathlib import Path

import pytest

MAJOR, MINOR = version("starlette").split(".")[:2]
TESTS = [Path(__file__).with_name("test_starlette.py"), Path(__file__).parents[1] / "adapters" / "test_starlette.py"]
RUN_TESTS = """
import pytest, starlette, sys
assert starlette.__file__.startswith(sys.argv[1]), starlette.__file__
sys.exit(pytest.main(["-q", "-p", "no:cacheprovider", *sys.argv[2:]]))
"""


@pytest.mark.parametrize("line", [f"<{MAJOR}.{MINOR}", "<1"], ids=["the line before", "before 1.0"])
def test_starlette_of_an_earlier_line_holds_the_contract(line, tmp_path):
    """The newest release of each line, without what it depends on: that is here already."""
    install = ["-m", "pip", "install", "--quiet", "--no-deps", "--target", str(tmp_path), f"starlette{line}"]
    installed = subprocess.run([sys.executable, *install], capture_output=True, text=True, check=False)
    if installed.returncode:
        pytest.skip(f"starlette{line} cannot be installed: {installed.stderr.strip()[-300:]}")

    # PYTHONPATH counts before what is installed.
    run = subprocess.run(
        [sys.executable, "-c", RUN_TESTS, str(tmp_path), *map(str, TESTS)],
        cwd=TESTS[0].parents[2],
        env={**os.environ, "PYTHONPATH": str(tmp_path)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert run.returncode == 0, f"{run.stdout[-5000:]}\n{run.stderr[-1000:]}"
