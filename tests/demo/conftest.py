"""A demo that runs, as a process of its own: Django's settings are one per process."""

import re
import signal
import subprocess
import sys
from pathlib import Path
from threading import Timer

import pytest

ROOT = Path(__file__).parents[2]
PATIENCE = 240  # seconds: a limit for a hang, no measure


@pytest.fixture(scope="session")
def run():
    """Run Python in the repository's root to its end."""

    def run(*arguments):
        return subprocess.run(
            [sys.executable, *arguments],
            cwd=ROOT,
            capture_output=True,
            text=True,
            timeout=PATIENCE,
            check=False,
        )

    return run


@pytest.fixture(scope="session")
def url():
    """Serve the demo on a free port, and end it with Ctrl-C."""
    process = subprocess.Popen(
        [sys.executable, "-m", "examples.demo", "--port", "0"],
        cwd=ROOT,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    limit = Timer(PATIENCE, process.kill)
    limit.start()
    printed = ""
    try:
        for line in process.stdout:
            printed += line
            if found := re.search(r"The page is at (\S+)/ ", line):
                break
        else:
            pytest.fail(f"the demo did not come up:\n{printed}")
        limit.cancel()
        yield found[1]
        process.send_signal(signal.SIGINT)
        rest, _ = process.communicate(timeout=PATIENCE)
        assert (process.returncode, rest.strip()) == (0, "")
    finally:
        limit.cancel()
        process.kill()
        process.communicate()
