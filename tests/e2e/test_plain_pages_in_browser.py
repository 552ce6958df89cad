"""The pages without scripts in a real browser: keyboard alone, narrow screens, a session that ends."""

import pytest

from tests.chromium import in_a_browser
from tests.clinic import PASSWORD
from tests.e2e.test_browser import address, browser, installation, visit

__all__ = ["address", "browser", "installation", "visit"]

pytestmark = in_a_browser("plain pages")

PAGES = ("/flags", "/flags/1", "/quality", "/patient/V01/assessments", "/account", "/help")
FAULTS = """() => {
  const faults = [], all = (selector) => [...document.querySelectorAll(selector)];
  const named = (part) => part.labels?.length || part.getAttribute("aria-label") || part.innerText.trim();
  const note = (what) => (part) => faults.push(what + part.outerHTML);
  const fields = all("main :is(input:not([type=hidden], [hidden]), select, textarea)");
  const small = (part) => part.offsetParent && part.getBoundingClientRect().height < 24;
  fields.filter((part) => !part.labels.length).forEach(note("no label: "));
  all("main :is(a, button)").filter((part) => !named(part)).forEach(note("no name: "));
  all("main :is(button, .button, select)").filter(small).forEach(note("small: "));
  const ids = all("[id]").map((part) => part.id);
  if (new Set(ids).size !== ids.length) faults.push("an id twice");
  if (all("h1").length !== 1) faults.push("not one heading");
  if (document.documentElement.lang !== "en") faults.push("no language");
  if (document.documentElement.scrollWidth > innerWidth) faults.push("scrolls sideways");
  return faults;
}"""


def tab_to(page, words: str) -> None:
    """Press Tab until the part of those words has the focus."""
    for _ in range(60):
        page.keyboard.press("Tab")
        told = page.evaluate(
            "(document.activeElement.labels?.[0] ?? document.activeElement).innerText?.trim() ?? ''"
        )
        if told.startswith(words):
            return
    pytest.fail(f"no way to {words!r} by the keyboard")


def state(page) -> str:
    return page.locator(".head .mark").inner_text()


def test_a_flag_is_acknowledged_snoozed_and_resolved_with_the_keyboard_alone(visit, address):
    page = visit("lead")
    tab_to(page, "Flags")
    page.keyboard.press("Enter")
    page.wait_for_url(f"{address}/flags")
    tab_to(page, "Review")
    page.keyboard.press("Enter")
    page.wait_for_url(f"{address}/flags/*")
    tab_to(page, "Acknowledge")
    page.keyboard.press("Enter")
    page.wait_for_selector(".said.done")
    assert "Acknowledged" in state(page)
    tab_to(page, "Until")
    page.keyboard.press("ArrowDown")
    tab_to(page, "Reason")
    page.keyboard.type("On holiday")
    page.keyboard.press("Enter")
    page.wait_for_selector(".said.done:has-text('Rests for 7 days')")
    assert "Snoozed" in state(page)
    tab_to(page, "How it ended")
    page.keyboard.type("Spoke")
    tab_to(page, "Resolve")
    page.keyboard.press("Enter")
    page.wait_for_selector(".said.done:has-text('Resolved: spoke with the patient')")
    assert page.locator(".history li").count() == 4


@pytest.mark.parametrize("width", [320, 1440])
def test_every_field_has_a_label_every_button_room_and_nothing_scrolls_sideways(visit, address, width):
    page = visit("lead")
    page.set_viewport_size({"width": width, "height": 900})
    for path in PAGES:
        page.goto(f"{address}{path}")
        assert page.evaluate(FAULTS) == [], path


def test_item_nine_shows_the_crisis_information_as_it_is_answered(visit, address):
    page = visit("lead")
    page.goto(f"{address}/patient/V01/assessments")
    panel = page.locator(".crisis-item .crisis-panel")
    assert not panel.is_visible()
    page.check("input[name=item9][value='1']")
    assert panel.is_visible()
    page.check("input[name=item9][value='0']")
    assert not panel.is_visible()


def test_an_ended_session_keeps_nothing_and_asks_to_sign_in(visit, address):
    page = visit("lead")
    page.goto(f"{address}/flags")
    page.context.clear_cookies()
    page.click("nav >> text=Data quality")
    page.wait_for_url(f"{address}/sign-in")
    page.fill("input[name=username]", "lead")
    page.fill("input[name=password]", PASSWORD)
    page.click("button[type=submit]")
    page.wait_for_url(f"{address}/")
