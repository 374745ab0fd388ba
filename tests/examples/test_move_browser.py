"""examples/move in headless Chromium: from the log-in in Flask to the log-out in FastAPI."""

import pytest
from services import chromium

pytest.importorskip("selenium")

from selenium.webdriver.common.by import By
from selenium.webdriver.support.ui import WebDriverWait

PATIENCE = 60  # seconds: a limit for a hang, no measure


@pytest.fixture
def driver(tmp_path):
    with chromium.running(tmp_path) as driver:
        yield driver


class Person:
    def __init__(self, driver, url):
        self.driver, self.url = driver, url

    def find(self, selector):
        return self.driver.find_element(By.CSS_SELECTOR, selector)

    def visit(self, path):
        self.driver.get(self.url + path)

    def click(self, selector):
        before = self.find("html")
        self.find(selector).click()
        wait = WebDriverWait(self.driver, PATIENCE, poll_frequency=0.05)
        wait.until(lambda _: self.find("html") != before)
        wait.until(lambda _: self.driver.execute_script("return document.readyState") == "complete")

    @property
    def path(self):
        return self.driver.current_url.removeprefix(self.url)

    @property
    def side(self):
        return self.find("footer").text

    @property
    def message(self):
        return self.find("[role=status]").text

    @property
    def session_cookies(self):
        return [cookie for cookie in self.driver.get_cookies() if cookie["name"] == "session"]


def test_a_customer_logs_in_in_flask_and_out_in_fastapi(driver, asgi, tmp_path):
    with asgi("move/new", cwd=tmp_path) as url:
        person = Person(driver, url)
        person.visit("/cart")
        assert (person.path, person.side) == ("/login?next=%2Fcart", "This page is Flask's.")
        person.find("[name=name]").send_keys("ada")
        person.find("[name=password]").send_keys("lovelace")
        person.find("[name=remember]").click()
        person.click("#log-in")
        assert (person.path, person.side) == ("/cart", "This page is FastAPI's.")
        assert person.message == "Hello ada!"

        person.visit("/")
        person.click("#tea")  # a form of Flask's page, sent to FastAPI, which leads back to Flask
        assert (person.path, person.side) == ("/", "This page is Flask's.")
        assert person.message == "One more tea is in your cart."
        assert len(person.session_cookies) == 1

        person.driver.delete_cookie("session")  # as when the browser was closed: remembered, by either side
        person.visit("/cart")
        assert person.find("#log-out").text == "Log ada out"
        assert person.find("li").text == "nothing yet"

        person.click("#log-out")  # a form of FastAPI's page
        assert person.message == "Good-bye."
        assert [cookie["name"] for cookie in driver.get_cookies()] == ["session"]
        person.visit("/cart")
        assert person.path == "/login?next=%2Fcart"
        assert [entry for entry in driver.get_log("browser") if "favicon" not in entry["message"]] == []
