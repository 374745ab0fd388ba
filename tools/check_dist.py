"""Say whether a wheel and an sdist hold what they should: python tools/check_dist.py WHEEL SDIST.

The wheel holds both packages, every file of them, and nothing else. The sdist holds them too, with what their tests
need, and nothing that is not in the tree.
"""

import subprocess
import sys
import tarfile
import zipfile
from pathlib import Path

ROOT = Path(__file__).parents[1]
PACKAGES = ("asgi_flask_session", "quart_plugin")
FILES = ("CHANGELOG.md", "LICENSE", "Makefile", "README.md", "SECURITY.md", "mkdocs.yml", "pyproject.toml")
FOLDERS = (*PACKAGES, "benchmarks", "docs", "examples", "tests", "tools")
MADE = {"PKG-INFO", ".gitignore"}  # by the build backend


def tracked():
    """Return the files of the tree that git knows, or would take."""
    command = ["git", "ls-files", "--cached", "--others", "--exclude-standard"]
    names = subprocess.run(command, check=True, capture_output=True, text=True, cwd=ROOT).stdout.splitlines()
    return {name for name in names if (ROOT / name).is_file()}


def in_wheel(path):
    with zipfile.ZipFile(path) as archive:
        return {name for name in archive.namelist() if ".dist-info/" not in name}


def in_sdist(path):
    with tarfile.open(path) as archive:
        return {member.name.partition("/")[2] for member in archive.getmembers() if member.isfile()}


def faults(wheel, sdist, tree):
    """Return a sentence for each file that is too much or missing, given the names in each."""
    packages = {name for name in tree if name.startswith(tuple(f"{package}/" for package in PACKAGES))}
    wanted = {name for name in tree if name.partition("/")[0] in FOLDERS} | set(FILES)
    typed = {f"{package}/{name}" for package in PACKAGES for name in ("__init__.py", "py.typed")}
    rows = {
        "the wheel lacks": (packages | typed) - wheel,
        "the wheel has, and should not:": wheel - packages,
        "the sdist lacks": wanted - sdist,
        "the sdist has, and should not:": sdist - wanted - MADE,
    }
    return [f"{says} {name}" for says, names in rows.items() for name in sorted(names)]


def main(wheel, sdist):
    names = in_wheel(wheel), in_sdist(sdist)
    found = faults(*names, tracked())
    print(*found, sep="\n", end="\n" if found else "")
    if not found:
        print(f"wheel: {len(names[0])} files, both packages typed; sdist: {len(names[1])} files, as in the tree")
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
