"""docs/django.md: its files, put into what `django-admin startproject` makes, run beside a Flask app."""

import json
import re
import subprocess
import sys
from pathlib import Path

import pytest

HERE = Path(__file__).parent
PAGE = (HERE.parents[1] / "docs" / "django.md").read_text("utf-8")

# What the page tells of each way to have the session, by the headings that a reader of it follows; "" is the top.
ENGINE = ["", "FLASK_SESSION", "The session in a view", "Forms and CSRF", "Messages", "Tests"]
AROUND = [*ENGINE, "Two ways"]
LOGIN = [*ENGINE, "Who is logged in"]
WAYS = {"engine": ENGINE, "around": AROUND, "login": LOGIN}

URLS = """
import inspect
import views
from django.urls import path

urlpatterns = [
    path(name, view)
    for name, view in vars(views).items()
    if callable(view) and list(inspect.signature(view).parameters)[:1] == ["request"] and view.__module__ == "views"
]
"""


def files_of(headings):
    """Return the files that are shown below these headings, in the page's order: name -> text."""
    files = {}
    for section in re.split(r"^## ", PAGE, flags=re.MULTILINE):
        heading = "" if section.startswith("# ") else section.partition("\n")[0]
        if heading in headings:
            for name, code in re.findall(r"```py\n# (\w+\.py)\n(.*?)```", section, re.DOTALL):
                files[name] = f"{files.get(name, '')}{code}\n"
    return files


def run(*command, cwd, given=None):
    done = subprocess.run(
        [sys.executable, *command], input=given, capture_output=True, text=True, timeout=120, check=False, cwd=cwd
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.fixture(scope="module", params=WAYS)
def project(request, tmp_path_factory):
    tmp_path = tmp_path_factory.mktemp("django")
    run("-m", "django", "startproject", "config", tmp_path, cwd=tmp_path)
    files = {"urls.py": URLS, **files_of(WAYS[request.param])}
    made = (tmp_path / "config" / "settings.py").read_text("utf-8")
    files["settings.py"] = f"{made}\nROOT_URLCONF = 'urls'\n{files['settings.py']}"
    for name, text in files.items():
        (tmp_path / name).write_text(text, "utf-8")
    return tmp_path


def asked(project, *requests):
    return json.loads(run(HERE / "run_django.py", cwd=project, given=json.dumps(requests)))


def test_every_block_is_of_a_file_that_is_used():
    blocks = re.findall(r"^```\w+\n.*", PAGE, re.MULTILINE)
    used = "".join("".join(files_of([heading]).values()) for heading in {*ENGINE, *AROUND, *LOGIN})
    assert all(re.fullmatch(r"```py\n# \w+\.py", block) for block in blocks)
    assert all(code in used for code in re.findall(r"^```py\n# \w+\.py\n(.*?)```", PAGE, re.DOTALL | re.MULTILINE))


def test_system_checks_find_nothing(project):
    run("manage.py", "check", "--settings=settings", "--fail-level=WARNING", cwd=project)


def test_project_and_flask_share_a_session(project):
    replies = asked(
        project,
        ["django", "/count"],
        ["django", "/acount"],
        ["django", "/add?item=tea"],
        ["flask", "/data"],
        ["django", "/add?item=cup"],
    )
    assert [status for status, _ in replies] == [200] * 5
    answers = [json.loads(text) for _, text in replies]
    assert answers.pop(3).items() >= {"visits": "2", "cart": "['tea']"}.items()
    assert answers == [{"visits": 1}, {"visits": 2}, {"cart": ["tea"]}, {"cart": ["tea", "cup"]}]


def test_forms_are_taken_by_the_other_side(project):
    replies = asked(
        project,
        ["flask", "/token"],
        ["django", "/order", {"csrf_token": "<text>", "item": "tea"}],
        ["django", "/order", {"item": "tea"}],
        ["django", "/token"],
        ["flask", "/form", {"csrf_token": "<text>"}],
    )
    assert [status for status, _ in replies] == [200, 200, 403, 200, 200]


@pytest.mark.parametrize("project", ["login"], indirect=True)
def test_logins_are_one(project):
    replies = asked(
        project,
        ["django", "/account"],
        ["flask", "/login/5"],
        ["django", "/account"],
        ["django", "/log_out"],
        ["django", "/log_in"],
        ["flask", "/who"],
    )
    assert [status for status, _ in replies] == [302, 200, 200, 200, 200, 200]
    assert [json.loads(text) for _, text in replies[2:]] == [
        {"user": "5", "fresh": True},
        {"user": None},
        {"user": "7"},
        {"id": "7", "fresh": True},
    ]


def test_tests_of_the_page_pass(project):
    run("manage.py", "test", "--settings=settings", cwd=project)
