"""What every test starts from."""

import os

import pytest

from asgi_flask_session import logs

try:
    import hypothesis
except ImportError:  # only the property tests need it
    pass
else:
    hypothesis.settings.register_profile("all", deadline=None)
    hypothesis.settings.register_profile("ci", deadline=None, derandomize=True)
    hypothesis.settings.load_profile("ci" if os.environ.get("CI") else "all")


@pytest.fixture(autouse=True)
def _no_warning_given_yet():
    """Some causes are warned of once for each process; each test is a process of its own in that."""
    logs.forget()


@pytest.hookimpl(hookwrapper=True)
def pytest_runtest_makereport(item, call):
    """In CI everything is to be had: a test that skips for want of it fails."""
    outcome = yield
    report = outcome.get_result()
    if report.skipped and os.environ.get("CI") and not hasattr(report, "wasxfail"):
        reason = report.longrepr[2] if isinstance(report.longrepr, tuple) else str(report.longrepr)
        if item.get_closest_marker("may_skip") is None:
            report.outcome = "failed"
            report.longrepr = f"skipped in CI, where nothing may be missing: {reason}"
