"""examples/sentinel."""

import re
import subprocess
from pathlib import Path

PAGE = (Path(__file__).parents[2] / "docs" / "deployment.md").read_text("utf-8")


def without_count(text):
    return re.sub(r"after \d+ such", "after some such", text)


def test_a_session_outlives_the_master_as_the_docs_show_it(sentinel_example):
    done = subprocess.run(sentinel_example, capture_output=True, text=True, timeout=240, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    [shown] = [text for text in re.findall(r"```text\n(.*?)```", PAGE, re.DOTALL) if "logged in" in text]
    assert without_count(done.stdout).endswith(without_count(shown))
