"""The pages as people with every kind of eyes, hands and screens use them."""

import re

import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import expect

from tests.chromium import in_a_browser
from tests.e2e.test_browser import PATIENCE_MS, address, browser, installation, visit

__all__ = ["address", "browser", "installation", "visit"]

pytestmark = in_a_browser("pages")

PAGES = ("/", "/live", "/patient/V01", "/patient/V01/summary")
ROWS = ".ag-pinned-left-cols-container .ag-row"


def shown(page, address, path):
    page.goto(f"{address}{path}")
    wanted = {"/": ".ag-row .level", "/live": ".live-card"}.get(path, ".js-plotly-plot .main-svg")
    page.wait_for_selector(wanted)
    page.wait_for_load_state("networkidle") if path == "/" else page.wait_for_timeout(300)


@pytest.mark.parametrize("path", PAGES)
def test_no_serious_barrier(visit, address, path):
    page = visit("lead")
    shown(page, address, path)
    found = Axe().run(page).response["violations"]
    serious = [
        (each["id"], [node["html"][:160] for node in each["nodes"][:3]])
        for each in found
        if each["impact"] in ("serious", "critical")
    ]
    assert not serious


@pytest.mark.parametrize("width", [320, 1440, 3840])
def test_nothing_scrolls_sideways_and_buttons_can_be_hit_on_any_screen(visit, address, width):
    page = visit("lead", width=width)
    for path in PAGES:
        shown(page, address, path)
        assert page.evaluate("document.documentElement.scrollWidth <= innerWidth"), path
        small = page.evaluate(
            """() => [...document.querySelectorAll(
                "main :is(button, summary, input:not([type=radio]), .button), label:has([type=radio])")]
              .filter((part) => part.offsetParent !== null)
              .filter((part) => part.getBoundingClientRect().height < 24)
              .map((part) => part.outerHTML.slice(0, 120))"""
        )
        assert not small, path


def test_views_choose_whom_to_see_and_the_keyboard_does_all_of_it(visit, address):
    page = visit("lead")
    page.locator(".view[data-view=absent]").focus()
    page.keyboard.press("Enter")
    expect(page.locator(ROWS)).to_have_count(2)
    expect(page.locator(".view[data-view=absent]")).to_have_attribute("aria-pressed", "true")
    page.locator(".view[data-view=silent]").click()
    for row in page.locator(ROWS).all():
        assert "In range" not in row.inner_text()
    page.locator(".view[data-view=all]").click()
    expect(page.locator(ROWS)).to_have_count(8)
    page.keyboard.press("/")
    page.keyboard.type("V02")
    expect(page.locator(ROWS)).to_have_count(1)
    page.keyboard.press("Enter")
    page.keyboard.press("Enter")
    page.wait_for_url(f"{address}/patient/V02")


def test_a_flag_is_new_until_the_patient_was_opened(visit, address):
    page = visit("lead")
    status = page.locator(".ag-row[row-index='0'] [col-id=status]")
    page.goto(f"{address}/patient/V01")
    page.wait_for_selector(".flags")
    page.goto(f"{address}/")
    expect(status).to_have_text("open")
    expect(page.locator("[data-count=new]")).to_have_text("0")


def test_zooming_in_brings_finer_values_and_double_click_the_overview(visit, address):
    page = visit("lead")
    shown(page, address, "/patient/V01")
    count = "document.querySelector('#zoom-chart .js-plotly-plot').calcdata[1].length"
    page.wait_for_selector("#zoom-chart .nsewdrag")
    page.wait_for_timeout(500)  # charts above it take their places
    before = page.evaluate(count)
    page.locator("#zoom-chart").evaluate("(part) => part.scrollIntoView({ block: 'center' })")
    box = page.locator("#zoom-chart .nsewdrag").bounding_box()
    middle = box["y"] + box["height"] / 2
    page.mouse.move(box["x"] + box["width"] * 0.95, middle)
    page.mouse.down()
    page.mouse.move(box["x"] + box["width"] * 0.985, middle, steps=5)
    page.mouse.up()
    page.wait_for_function(f"() => {count} !== {before}")
    page.mouse.dblclick(box["x"] + box["width"] / 2, middle)
    page.wait_for_function(f"() => {count} === {before}")


def test_charts_out_of_sight_are_drawn_when_they_come_near_for_paper_and_when_there_is_nothing_to_do(
    visit, address
):
    page = visit("lead")
    page.set_viewport_size({"width": 700, "height": 400})
    page.add_init_script(
        "window.due = []; window.requestIdleCallback = (draw) => { window.due.push(draw); };"
    )
    undrawn = page.locator(".drawing:not(:has(.main-svg))")
    left = 0
    for come_near in (
        "scrollTo(0, document.body.scrollHeight)",
        "dispatchEvent(new Event('beforeprint'))",
        "window.due.shift()()",
    ):
        page.goto(f"{address}/patient/V01")
        page.wait_for_selector("#zoom-chart", state="attached")
        page.wait_for_function("() => window.due.length === 1")
        page.wait_for_timeout(300)
        few = undrawn.count()
        assert few > 1
        page.evaluate(come_near)
        page.wait_for_function(
            f"() => document.querySelectorAll('.drawing:not(:has(.main-svg))').length < {few}"
        )
        left = undrawn.count()
        if "beforeprint" in come_near:
            assert left == 0
    # One at a time, so that whoever clicks never waits for more than one.
    assert left == few - 1
    page.evaluate("while (window.due.length) window.due.shift()()")
    expect(undrawn).to_have_count(0)


def test_a_zoom_asks_once_and_draws_twice(visit, address):
    page = visit("lead")
    shown(page, address, "/patient/V01")
    page.locator("#zoom-chart").evaluate("(part) => part.scrollIntoView({ block: 'center' })")
    page.wait_for_selector("#zoom-chart .nsewdrag")
    page.wait_for_timeout(500)
    page.evaluate("""() => {
        const plot = document.querySelector('#zoom-chart .js-plotly-plot'), axis = plot._fullLayout.xaxis;
        const end = +new Date(axis.maxallowed);
        window.drawn = 0;
        plot.on('plotly_afterplot', () => { window.drawn += 1; });
        window.Plotly.relayout(plot, { 'xaxis.range[0]': end - 6e7, 'xaxis.range[1]': end - 1e7 });
    }""")
    page.wait_for_function("() => window.drawn === 2")
    page.wait_for_timeout(300)
    assert page.evaluate("window.drawn") == 2


def test_what_happened_is_written_down_and_drawn_in_every_chart(visit, address):
    page = visit("lead")
    page.goto(f"{address}/patient/V02")
    page.click("text=Write down another")
    page.fill("#happening-text", "lithium 450 mg")
    page.click("#happening-keep")
    expect(page.locator(".happenings")).to_contain_text("lithium 450 mg")
    page.wait_for_selector("#rmssd-chart .main-svg")


def test_two_stretches_are_compared_anew(visit, address):
    page = visit("lead")
    shown(page, address, "/patient/V02")
    before = page.locator("#compare-body").inner_text()
    field = page.locator("#compare-a-from")
    field.fill(page.locator("#compare-a-to").input_value())
    expect(page.locator("#compare-body")).not_to_have_text(before, timeout=PATIENCE_MS)
    assert re.search(r"HRV at night", page.locator("#compare-body").inner_text())


def test_the_summary_is_one_page_of_a4(visit, address):
    page = visit("lead")
    shown(page, address, "/patient/V01/summary")
    sheet = page.pdf(prefer_css_page_size=True, print_background=True)
    assert len(re.findall(rb"/Type\s*/Page\b", sheet)) == 1
    width_pt, height_pt = map(float, re.search(rb"/MediaBox \[0 0 ([\d.]+) ([\d.]+)\]", sheet).groups())
    assert (round(width_pt), round(height_pt)) == (595, 842)
