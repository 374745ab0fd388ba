"""What every test starts from."""

import os
import time

import pytest

from asgi_flask_session import logs

pytest.register_assert_rewrite("frameworks.contract")  # which several folders import

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


@pytest.fixture
def _far_from_greenwich(monkeypatch):
    """Where local time is never UTC, so that what takes one for the other is seen."""
    tzset = getattr(time, "tzset", lambda: None)  # Windows has none
    with monkeypatch.context() as patch:
        patch.setenv("TZ", "UTC-14")
        tzset()
        yield
    tzset()


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport():
    return fail_if_skipped_in_ci((yield))


@pytest.hookimpl(wrapper=True)
def pytest_make_collect_report():
    return fail_if_skipped_in_ci((yield))


def fail_if_skipped_in_ci(report):
    """In CI everything is to be had: a test or a module that is skipped for want of it fails."""
    if report.skipped and os.environ.get("CI"):
        reason = report.longrepr[2] if isinstance(report.longrepr, tuple) else report.longrepr
        report.outcome = "failed"
        report.longrepr = f"skipped in CI, where nothing may be missing: {reason}"
    return report
