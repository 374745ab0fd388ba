"""docs/: every block runs and prints what the page says; and every link there and in the README leads somewhere."""

import json
import re
import subprocess
import sys
from pathlib import Path

import pytest

HERE = Path(__file__).parent
ROOT = HERE.parents[1]
DOCS = ROOT / "docs"
PAGES = sorted(DOCS.rglob("*.md"))
BLOCK = re.compile(r"```python\n(.*?)```\n(?:\n```text\n(.*?)```)?", re.DOTALL)
COUNTS = "def count"  # the name of a handler that does


def name(page):
    return page.relative_to(ROOT).as_posix()


def blocks(page):
    return BLOCK.findall(page.read_text("utf-8"))


@pytest.mark.parametrize("page", [page for page in PAGES if blocks(page)], ids=name)
def test_blocks_of_a_page_do_what_it_says(page, at_home, tmp_path):
    codes, says = zip(*blocks(page), strict=True)
    ours = at_home(list(codes))
    command = [sys.executable, HERE / "run_page.py"]
    done = subprocess.run(
        command, input=json.dumps(ours), capture_output=True, text=True, timeout=120, check=False, cwd=tmp_path
    )
    assert (done.returncode, done.stderr) == (0, "")
    outcomes = json.loads(done.stdout)
    for number, (outcome, said) in enumerate(zip(outcomes, says, strict=True)):
        assert outcome["error"] is None, f"block {number}: {outcome['error']}"
        assert outcome["printed"] == said, f"block {number}"
        assert outcome["logs"] == [], f"block {number}"
        for request, status, body in outcome["answers"]:
            assert status < 400, f"block {number}: {request}: {status} {body}"
        counts = [json.loads(body) for _, _, body in outcome["answers"] if COUNTS in ours[number]]
        assert counts in ([], [{"visits": 1}, {"visits": 2}]), f"block {number}"


# Excerpts, marked "py" in place of "python": they do not run alone. Whose test has them in what runs.
EXCERPTS = {
    "docs/django.md": "tests/docs/test_django.py",
    "docs/frameworks.md": "tests/frameworks/test_sanic.py",
    "docs/migrations/django.md": "tests/docs/test_from_django.py",
    "docs/move.md": "tests/docs/test_move.py",
    "docs/quart.md": "tests/docs/test_datastore.py",
}


def excerpts(page):
    return re.findall(r"```py\n(.*?)```", page.read_text("utf-8"), re.DOTALL)


@pytest.mark.filterwarnings("ignore:starlette-flask is archived:FutureWarning")
@pytest.mark.parametrize("page", [page for page in PAGES if excerpts(page)], ids=name)
def test_excerpts_of_a_page_are_in_what_runs(page):
    if all(re.fullmatch(r"(?:from|import) .*", line) for code in excerpts(page) for line in code.splitlines()):
        exec("\n".join(excerpts(page)), {})
        return
    test = (ROOT / EXCERPTS[name(page)]).read_text("utf-8")
    assert f'"{page.name}"' in test
    assert "```py" in test


def test_every_block_is_of_a_kind_that_is_run_or_printed():
    kinds = {kind for page in PAGES for kind in re.findall(r"^ *```([^\s`]+)", page.read_text("utf-8"), re.MULTILINE)}
    assert kinds == {"python", "py", "text", "console"}


def test_pages_of_stores_begin_with_the_same_app():
    """So that whoever compares stores reads one line. That it counts is shown above."""
    firsts = {blocks(page)[0][0] for page in PAGES if page.parent.name == "stores" or page.name == "stores.md"}
    assert len({re.sub(r"store=.*\n", "", code) for code in firsts}) == 1


def test_every_page_is_listed():
    index = (DOCS / "index.md").read_text("utf-8")
    listed = {(DOCS / target).resolve() for target in re.findall(r"\]\(([^)#:]+)\)", index)}
    assert {page for page in PAGES if page.name != "index.md"} <= listed


def links(page):
    return sorted(set(re.findall(r"\]\(([^)]+)\)", page.read_text("utf-8"))))


TOP = [ROOT / "README.md", ROOT / "CHANGELOG.md", ROOT / "SECURITY.md", ROOT / "benchmarks" / "README.md"]
LINKS = [(page, link) for page in (*TOP, *PAGES) for link in links(page)]


@pytest.mark.parametrize(("page", "link"), LINKS, ids=[f"{name(page)} {link}" for page, link in LINKS])
def test_link_leads_somewhere(page, link):
    if re.match(r"https?:", link):
        return
    path, _, anchor = link.partition("#")
    target = (page.parent / path).resolve() if path else page
    assert target.exists()
    if anchor:
        headings = re.findall(r"^#+ (.*)$", target.read_text("utf-8"), re.MULTILINE)
        assert anchor in {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}
