"""A hook of MkDocs: pages of the files that docs/ links to and that lie elsewhere, the README and the examples.

On a code host such links lead to the files themselves; in the site they lead to these pages.
"""

import posixpath
import re
from collections import Counter
from pathlib import Path

from mkdocs.exceptions import PluginError
from mkdocs.structure.files import File, InclusionLevel

ROOT = Path(__file__).parents[1]
LINK = re.compile(r"(\]\()([^)#\s]+)((?:#[^)]*)?\))")
# Not under the name README, of which MkDocs makes the index of its folder: there is one.
TEXTS = {
    "README.md": "overview.md",
    "benchmarks/README.md": "benchmarks.md",
    "CHANGELOG.md": "CHANGELOG.md",
    "SECURITY.md": "SECURITY.md",
}
SOURCES = {page: name for name, page in TEXTS.items()}
# A name in a table is read in one piece: a wide table scrolls.
STYLE = """\
.md-typeset td code { word-break: normal; }
.md-typeset td:last-child { min-width: 10rem; }
"""
LANGUAGES = {".py": "python", ".html": "html+jinja", ".js": "javascript", ".css": "css"}


def shown_files():
    """Return the page of each file and folder that has one, by its path from the root."""
    pages = TEXTS | {"LICENSE": "LICENSE.md"}
    for path in [ROOT / "examples", *sorted((ROOT / "examples").rglob("*"))]:
        name = path.relative_to(ROOT).as_posix()
        if path.is_dir() and path.name != "__pycache__":
            pages[name] = f"{name}/index.md"
        elif path.suffix in LANGUAGES:
            pages[name] = f"{name}.md"
    return pages


PAGES = shown_files()


def on_files(files, config):
    for name, page in PAGES.items():
        level = InclusionLevel.INCLUDED if name in TEXTS else InclusionLevel.NOT_IN_NAV
        files.append(File.generated(config, page, content=_content(name), inclusion=level))
    files.append(File.generated(config, "tables.css", content=STYLE))
    made = Counter(file.dest_uri for file in files)
    if twice := [uri for uri, number in made.items() if number > 1]:
        raise PluginError(f"two pages become one: {', '.join(twice)}")
    return files


def _content(name):
    path = ROOT / name
    if path.is_dir():
        inside = [entry for entry in PAGES if posixpath.dirname(entry) == name]
        links = [f"- [{posixpath.basename(entry)}]({posixpath.relpath(PAGES[entry], name)})" for entry in inside]
        return f"# {name}\n\n" + "\n".join(links) + "\n"
    text = path.read_text("utf-8")
    if name in TEXTS:
        return text
    return f"# {name}\n\n```` {LANGUAGES.get(path.suffix, 'text')}\n{text}````\n"


def on_page_markdown(markdown, page, **_):
    """Turn links out of docs/ into links to the pages above."""
    here = page.file.src_uri
    if here.startswith("examples/"):
        return markdown
    source = SOURCES.get(here, f"docs/{here}")  # where the text lies, which its links start from

    def to_page(found):
        target = posixpath.normpath(posixpath.join(posixpath.dirname(source), found[2]))
        shown = target.removeprefix("docs/") if target.startswith("docs/") else PAGES.get(target)
        if "://" in found[2] or shown is None:
            return found[0]
        return found[1] + posixpath.relpath(shown, posixpath.dirname(here) or ".") + found[3]

    return LINK.sub(to_page, markdown)
