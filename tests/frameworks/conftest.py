"""Runs each framework's tests on the event loops that it works on."""

from functools import cache

import pytest
from frameworks.drive import Client


def pytest_generate_tests(metafunc):
    if "backend" in metafunc.fixturenames and metafunc.cls:
        metafunc.parametrize("backend", metafunc.cls.backends)


@pytest.fixture
def client(request, backend):
    """Return a client of the app that the test's class names, on one event loop."""
    return Client(_app(request.cls), backend)


@cache
def _app(test_class):
    return test_class.app()
