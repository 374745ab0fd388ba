"""docs/move.md: what it shows stands in examples/move, which other tests run."""

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
EXCERPTS = re.findall(r"```py\n(.*?)```", (ROOT / "docs" / "move.md").read_text("utf-8"), re.DOTALL)
EXAMPLE = "\n".join(path.read_text("utf-8") for path in sorted((ROOT / "examples" / "move").glob("*.py")))


@pytest.mark.parametrize("excerpt", EXCERPTS)
def test_what_the_guide_shows_is_in_the_example(excerpt):
    assert excerpt in EXAMPLE
