"""Write docs/performance.md, the tables of the benchmarks, by running them: python tools/performance_page.py [NAME...].

It takes some minutes, on a machine that does nothing else meanwhile. With names, only these are run anew.
"""

import ast
import platform
import re
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

ROOT = Path(__file__).parents[1]
PAGE = ROOT / "docs" / "performance.md"
SCRIPTS = ["middleware", "codec", "servers", "quart_requests", "stores", "parsing", "imports"]
HEAD = """\
# Performance

What the scripts of [benchmarks](../benchmarks/README.md) printed on one machine: {machine}. Shares
within a table tell something, since all that is in it ran in turn; nanoseconds of two tables, or of two machines, do
not compare.
`make bench` prints the same on yours, and says what each number is.

The session of a request that does not look at it costs a look at the Cookie header and one signature. What costs beyond
that is what Flask's bytes are: sorted keys, tags, and zlib where it makes the cookie shorter.
"""


def page(names: Sequence[str]) -> str:
    """Return the text of the page, with the sections of *names* made anew, or all."""
    system = f"{platform.machine()}, Python {platform.python_version()}, {platform.system()}"
    there = re.split(r"(?=^## )", PAGE.read_text("utf-8"), flags=re.MULTILINE)[1:] if names else []
    kept = {name: text for text in there for name in SCRIPTS if f"`benchmarks/{name}.py`" in text}
    made = (section(name) if name in names or not names else kept[name] for name in SCRIPTS)
    return "\n".join([HEAD.format(machine=system), *(text.strip() + "\n" for text in made)])


def section(name: str) -> str:
    script = ROOT / "benchmarks" / f"{name}.py"
    question = (ast.get_docstring(ast.parse(script.read_text("utf-8"))) or name).partition("\n")[0]
    done = subprocess.run([sys.executable, script], capture_output=True, text=True, cwd=ROOT, check=False)
    print(f"{name}: {done.returncode}", file=sys.stderr)
    if not done.stdout:
        raise SystemExit(done.stderr)
    said = re.sub(r"^## ", "### ", done.stdout.strip(), flags=re.MULTILINE)
    return f"\n## {question}\n\n`benchmarks/{name}.py`\n\n{said}\n"


if __name__ == "__main__":
    PAGE.write_text(page(sys.argv[1:]), "utf-8")
