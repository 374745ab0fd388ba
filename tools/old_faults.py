"""Show that the tests of old faults fail on the releases that had them, and pass on the mended ones and on ours.

Each release is installed into an environment of its own: python tools/old_faults.py
"""

import subprocess
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).parents[1]
TESTS = ROOT / "tests" / "peers" / "test_old_faults.py"
FAULTS = {  # advisory -> what has the fault, and what has it no more
    "CVE-2023-30861": (["flask==2.3.1", "werkzeug==2.3.8"], ["flask==2.3.2", "werkzeug==2.3.8"]),
    "CVE-2026-27205": (["flask==3.1.2"], ["flask==3.1.3"]),
    "CVE-2025-47278": (["flask==3.1.0"], ["flask==3.1.1"]),
    "CVE-2023-23934": (["flask==2.2.5", "werkzeug==2.2.2"], ["flask==2.2.5", "werkzeug==2.2.3"]),
}


def outcome(pins: list[str], advisory: str, folder: Path) -> str:
    """Return whether the tests of *advisory* pass with the releases of *pins*."""
    python = folder / "-".join(pins) / "bin" / "python"
    if not python.exists():
        subprocess.run([sys.executable, "-m", "venv", python.parents[1]], check=True)
        subprocess.run([python, "-m", "pip", "install", "-qq", "pytest>=9.0", *pins], check=True)
    return tests(python, advisory, {"SUBJECT": "flask"})


def tests(python: Path | str, advisory: str, environment: dict[str, str]) -> str:
    name = advisory.lower().replace("-", "_")
    command = [python, "-m", "pytest", "-q", "-p", "no:cacheprovider", "-W", "ignore", "-k", name, TESTS]
    done = subprocess.run(
        command, cwd=ROOT, env={"PATH": "/usr/bin:/bin", **environment}, capture_output=True, text=True, check=False
    )
    if done.returncode not in (0, 1):
        raise SystemExit(f"the tests did not run:\n{done.stdout}{done.stderr}")
    return "pass" if done.returncode == 0 else "FAIL"


def main() -> int:
    right = True
    print("| advisory | release with it | | release without | | ours |")
    print("|---|---|---|---|---|---|")
    with tempfile.TemporaryDirectory() as made:
        for advisory, (old, mended) in FAULTS.items():
            shown = [outcome(old, advisory, Path(made)), outcome(mended, advisory, Path(made))]
            ours = tests(sys.executable, advisory, {})
            print(
                f"| {advisory} | {', '.join(old)} | {shown[0]} | {', '.join(mended)} | {shown[1]} | {ours} |",
                flush=True,
            )
            right = right and (*shown, ours) == ("FAIL", "pass", "pass")
    return 0 if right else 1


if __name__ == "__main__":
    raise SystemExit(main())
