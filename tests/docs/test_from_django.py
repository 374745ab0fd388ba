"""docs/migrations/django.md: a Django project with its own sessions, before and after the change."""

import json
import re
import subprocess
import sys
from pathlib import Path

import pytest

PAGE = (Path(__file__).parents[2] / "docs" / "migrations" / "django.md").read_text("utf-8")
FILES = re.findall(r"```py\n# (\w+\.py)\n(.*?)```", PAGE, re.DOTALL)

BEFORE = """
from config.settings import *

ROOT_URLCONF = "urls"
SESSION_ENGINE = "django.contrib.sessions.backends.{engine}"
"""
VIEWS = """
from django.contrib.auth import login
from django.contrib.auth.models import User
from django.http import JsonResponse
from django.urls import path


def log_in(request):
    login(request, User.objects.create_user("ada"))
    return count(request)


def count(request):
    request.session["visits"] = request.session.get("visits", 0) + 1
    return JsonResponse([request.user.username, request.session["visits"]], safe=False)


def fail(request):
    raise LookupError


urlpatterns = [path("log_in", log_in), path("count", count), path("fail", fail)]
"""
BROWSER = """
import json, os, sys

os.environ["DJANGO_SETTINGS_MODULE"], cookies, *paths = sys.argv[1:]
import django

django.setup()
from django.test import Client

client = Client(raise_request_exception=False, SERVER_NAME="localhost")
for name, value in json.loads(cookies).items():
    client.cookies[name] = value
answers = [client.get(path) for path in paths]
left = {name: morsel.value for name, morsel in client.cookies.items() if morsel.value}
print(json.dumps([[answer.json() if answer.status_code == 200 else answer.status_code for answer in answers], left]))
"""


def run(*command, cwd):
    done = subprocess.run([sys.executable, *command], capture_output=True, text=True, timeout=120, check=False, cwd=cwd)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.fixture(params=["db", "file", "signed_cookies"])
def project(request, tmp_path):
    run("-m", "django", "startproject", "config", tmp_path, cwd=tmp_path)
    files = {
        "before.py": BEFORE.format(engine=request.param),
        "urls.py": VIEWS,
        "settings.py": "from before import *\n",
    }
    for name, code in FILES:
        files[name] = files.get(name, "") + code
    brings = files["bring_along.py"].replace("backends.db import", f"backends.{request.param} import")
    if request.param == "file":  # as the page says
        [line] = re.findall(r"^ *old = .*\n", brings, re.MULTILINE)
        brings = brings.replace(line, f"{line}        {re.search(r'`(old.file_prefix.*?)`', PAGE)[1]}\n")
    files["bring_along.py"] = brings
    for name, text in files.items():
        (tmp_path / name).write_text(text, "utf-8")
    run("manage.py", "migrate", "--settings=before", "--verbosity=0", cwd=tmp_path)
    return tmp_path


def visit(project, settings, cookies, *paths):
    *_, last = run("-c", BROWSER, settings, json.dumps(cookies), *paths, cwd=project).splitlines()
    return json.loads(last)


def test_session_and_login_go_on(project):
    answers, cookies = visit(project, "before", {}, "/log_in", "/count")
    assert (answers, "session" in cookies) == ([["ada", 1], ["ada", 2]], False)
    answers, cookies = visit(project, "settings", cookies, "/count", "/count")
    assert (answers, "sessionid" in cookies) == ([["ada", 3], ["ada", 4]], False)
    answers, _ = visit(project, "settings", cookies, "/count")
    assert answers == [["ada", 5]]


def test_session_is_not_lost_with_a_500(project):
    _, cookies = visit(project, "before", {}, "/log_in")
    answers, cookies = visit(project, "settings", cookies, "/fail", "/count")
    assert answers == [500, ["ada", 2]]


def test_cookie_of_nonsense_is_no_session(project):
    answers, _ = visit(project, "settings", {"sessionid": "nonsense"}, "/count")
    assert answers == [["", 1]]


def test_system_checks_find_nothing(project):
    run("manage.py", "check", "--settings=settings", "--fail-level=WARNING", cwd=project)
