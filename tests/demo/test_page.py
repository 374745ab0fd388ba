"""The page in headless Chromium, as a person would use it."""

import pytest
from services import chromium

pytest.importorskip("selenium")

from selenium.common.exceptions import TimeoutException
from selenium.webdriver.common.by import By
from selenium.webdriver.support.ui import Select, WebDriverWait

APPS = ["flask", "fastapi", "litestar", "quart", "django", "raw"]
PATIENCE = 120  # seconds: a limit for a hang, no measure
SIZES = {"phone": (360, 800), "tablet": (800, 1000), "desktop": (1440, 900), "wide": (1920, 1080)}

# What the panels show, read at once: the page may replace any element at any time.
READ_PANELS = """
    return [...document.querySelectorAll(".panel")].map((panel) => ({
        app: panel.dataset.app,
        user: panel.querySelector(".user.known span")?.textContent ?? null,
        keys: Object.fromEntries([...panel.querySelectorAll("li")].map((item) =>
            [item.dataset.key, item.querySelector(".value").textContent])),
    }))
"""
READ_FLASK = """
    return document.getElementById("flask-page").contentDocument.body?.innerText ?? ""
"""
NAMELESS_CONTROLS = """
    return [...document.querySelectorAll("button, input:not([type=hidden]), select, iframe")]
        .filter((it) => !(it.ariaLabel || it.title || it.labels?.[0]?.textContent.trim()
            || (it.tagName === "BUTTON" && it.textContent.trim().length > 1)))
        .map((it) => it.outerHTML)
"""


@pytest.fixture(scope="module")
def driver(tmp_path_factory):
    with chromium.running(tmp_path_factory.mktemp("chromium")) as driver:
        yield driver


@pytest.fixture
def page(driver, url):
    """Open the page without a session, and look at the console in the end."""
    driver.execute_cdp_cmd("Network.clearBrowserCookies", {})
    driver.get(f"{url}/")
    page = Page(driver)
    page.wait_for(lambda: page.status().startswith("All six"), "the page to be ready")
    yield page
    assert driver.get_log("browser") == []


class Page:
    def __init__(self, driver):
        self.driver = driver

    def find(self, selector):
        return self.driver.find_element(By.CSS_SELECTOR, selector)

    def click(self, selector):
        # By script: an element under the pointer may just be replaced by its next version.
        self.driver.execute_script("document.querySelector(arguments[0]).click()", selector)

    def wait_for(self, condition, what):
        try:
            WebDriverWait(self.driver, PATIENCE, poll_frequency=0.05).until(lambda _: condition())
        except TimeoutException:
            pytest.fail(f"waited for {what}; the page says {self.status()!r}, {self.panels()}")

    def status(self):
        return self.find("#status").text

    def panels(self):
        return self.driver.execute_script(READ_PANELS)

    def set(self, app, key, value):
        form = f"[data-app={app}] .set"
        self.find(f"{form} [name=key]").send_keys(key)
        self.find(f"{form} [name=value]").send_keys(value)
        self.find(f"{form} button").click()

    def log_in(self, name):
        self.driver.switch_to.frame(self.find("#flask-page"))
        self.find("[name=name]").send_keys(name)
        self.find("button").click()
        self.driver.switch_to.default_content()

    def says_flask(self, text):
        return text in self.driver.execute_script(READ_FLASK)

    def all_show(self, **expected):
        """Wait until each panel shows these values, None for none."""
        self.wait_for(
            lambda: all(panel["keys"].get(key) == value for panel in self.panels() for key, value in expected.items()),
            f"{expected} in all panels",
        )
        self.wait_for(lambda: self.status().startswith("All six"), "the six to agree")

    def all_know(self, user):
        self.wait_for(lambda: [panel["user"] for panel in self.panels()] == [user] * 6, f"{user} in all panels")


def test_panel_of_each_app(page):
    assert [panel["app"] for panel in page.panels()] == APPS


def test_value_set_in_one_is_seen_in_all(page):
    for app in APPS:
        page.set(app, "colour", f"set in {app}")
        page.all_show(colour=f"'set in {app}'", last_change_in=f"'{app}'")


def test_value_removed_in_one_is_gone_in_all(page):
    for app in APPS:
        page.set("fastapi", "colour", "green")
        page.all_show(colour="'green'")
        page.click(f"[data-app={app}] [data-key=colour] .remove")
        page.all_show(colour=None)


def test_log_in_with_flasks_form_and_log_out_anywhere(page):
    for app in APPS:
        page.log_in(f"ada of {app}")
        page.all_know(f"ada of {app}")
        page.wait_for(lambda app=app: page.says_flask(f"Logged in as ada of {app}"), "Flask's page")
        page.click(f"[data-app={app}] .log-out")
        page.all_know(None)
        page.wait_for(lambda: page.says_flask("Log in"), "Flask's form")


def test_message_flashed_in_fastapi_is_read_once_in_flask(page):
    page.find("#flash button").click()
    page.all_show(_flashes="[('message', 'Saved.')]")
    page.click("#read-flashes")
    page.wait_for(lambda: page.find("#flashes").text == "Saved.", "the message")
    page.all_show(_flashes=None)
    page.click("#read-flashes")
    page.wait_for(lambda: page.find("#flashes").text == "no message", "no second message")


def test_value_set_from_a_websocket(page):
    page.set("django", "before", "kept")
    page.all_show(before="'kept'")
    page.find("#websocket button").click()
    page.all_show(from_websocket="'hello'", before="'kept'")


def test_every_type_written_in_each(page):
    for app in APPS:
        page.driver.execute_script("document.getElementById('types-read').textContent = ''")
        Select(page.find("#types-app")).select_by_value(app)
        page.find("#types button").click()
        page.wait_for(lambda: page.find("#types-read").text == "Read equal, in value and type, in all six.", app)
        page.all_show(last_change_in=f"'{app}'")
        assert all(panel["keys"]["tags within"] for panel in page.panels())


def test_session_that_is_emptied(page):
    page.set("quart", "colour", "green")
    page.all_show(colour="'green'")
    page.find("#empty").click()
    page.wait_for(lambda: all(panel["keys"] == {} for panel in page.panels()), "empty panels")
    assert page.driver.get_cookies() == []


def test_cookie_that_scripts_cannot_read(page):
    page.set("raw", "colour", "green")
    page.all_show(colour="'green'")
    [cookie] = page.driver.get_cookies()
    assert (cookie["name"], cookie["httpOnly"], cookie["sameSite"]) == ("session", True, "Lax")


def test_resources_of_the_page_are_its_own(page, url):
    names = page.driver.execute_script("return performance.getEntriesByType('resource').map((entry) => entry.name)")
    assert names
    assert [name for name in names if not name.startswith(f"{url}/")] == []


@pytest.mark.parametrize("size", SIZES.values(), ids=SIZES.keys())
def test_page_at_a_width(page, size):
    width, height = size
    page.driver.execute_cdp_cmd(
        "Emulation.setDeviceMetricsOverride",
        {"width": width, "height": height, "deviceScaleFactor": 1, "mobile": False},
    )
    try:
        page.find("#types button").click()
        page.wait_for(lambda: page.find("#types-read").text.startswith("Read equal"), "long values")
        page.all_show(last_change_in="'flask'")
        wide = page.driver.execute_script("return document.documentElement.scrollWidth")
        assert wide <= width
        assert page.driver.execute_script(NAMELESS_CONTROLS) == []
    finally:
        page.driver.execute_cdp_cmd("Emulation.clearDeviceMetricsOverride", {})
