"""docs/settings.md says what the code says."""

import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[2]


def test_the_page_is_as_the_code_makes_it():
    code = "import settings_page; print(settings_page.page(), end='')"
    made = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=ROOT / "tools", encoding="utf-8"
    )
    assert (ROOT / "docs" / "settings.md").read_text("utf-8") == made.stdout, "run python tools/settings_page.py"
