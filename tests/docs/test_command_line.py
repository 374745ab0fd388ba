"""docs/command_line.md: each command prints what stands below it; "..." is whatever the time of day makes of it."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

PAGE = (Path(__file__).parents[2] / "docs" / "command_line.md").read_text("utf-8")
BLOCKS = re.findall(r"```console\n(.*?)```", PAGE, re.DOTALL)
COMMANDS = Path(sys.executable).parent


def test_a_session_in_the_shell_goes_as_the_page_says(tmp_path):
    if sys.platform == "win32":
        pytest.skip("the page shows a POSIX shell")
    script = [line.removeprefix("$ ") for block in BLOCKS for line in block.splitlines() if line.startswith("$ ")]
    said = "\n".join(line for block in BLOCKS for line in block.splitlines() if not line.startswith("$ "))
    environment = {name: value for name, value in os.environ.items() if not name.startswith("FLASK_")}
    environment["PATH"] = f"{COMMANDS}{os.pathsep}{environment['PATH']}"
    done = subprocess.run(
        ["sh"], input="\n".join(script), capture_output=True, text=True, cwd=tmp_path, env=environment, check=False
    )
    assert done.stderr == ""
    expected = ".*?".join(map(re.escape, said.split("...")))
    printed = "\n".join(line.rstrip() for line in done.stdout.splitlines())
    assert re.fullmatch(expected, printed, re.DOTALL), printed
