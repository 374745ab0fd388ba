"""A hook of MkDocs: pages of the files that docs/ links to and that lie elsewhere, the README and the examples.

On a code host such links lead to the files themselves; in the site they lead to these pages.
"""

import posixpath
import re
from pathlib import Path

from mkdocs.structure.files import File, InclusionLevel

ROOT = Path(__file__).parents[1]
LINK = re.compile(r"(\]\()([^)#\s]+)((?:#[^)]*)?\))")
TEXTS = {name: name for name in ("README.md", "CHANGELOG.md", "SECURITY.md", "benchmarks/README.md")}
LANGUAGES = {".py": "python", ".html": "html+jinja", ".js": "javascript", ".css": "css"}


def shown_files():
    """Return the page of each file and folder that has one, by its path from the root."""
    pages = {name: page for name, page in TEXTS.items() if (ROOT / name).is_file()} | {"LICENSE": "LICENSE.md"}
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
    source = here if here in TEXTS else f"docs/{here}"  # where the text lies, which its links start from

    def to_page(found):
        target = posixpath.normpath(posixpath.join(posixpath.dirname(source), found[2]))
        shown = target.removeprefix("docs/") if target.startswith("docs/") else PAGES.get(target)
        if "://" in found[2] or shown is None:
            return found[0]
        return found[1] + posixpath.relpath(shown, posixpath.dirname(here) or ".") + found[3]

    return LINK.sub(to_page, markdown)
