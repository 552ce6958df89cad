"""The pages in a real browser: they work, they move, they keep to themselves."""

import re
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from datetime import date, timedelta
from itertools import count, pairwise
from pathlib import Path

import pytest
from playwright.sync_api import expect, sync_playwright

from dashboard.words import morning_text
from store.clock import SystemClock
from store.installation import Installation
from store.units import NS_PER_S
from tests.chromium import in_a_browser, launched
from tests.clinic import PASSWORD, build_clinic, write_heart_rate

REPOSITORY = Path(__file__).resolve().parents[2]
TICK_S = 0.5
"""Between two heart rates of the made-up straps; half of what the page asks for."""
PATIENCE_MS = 20_000
"""A page takes one second; a loaded machine may take many times that."""
expect.set_options(timeout=PATIENCE_MS)
SERVE = """
import sys
from functools import partial
from pathlib import Path
from dashboard.serve import serve
from store.installation import Installation
serve(Installation(Path(sys.argv[1])), "127.0.0.1", int(sys.argv[2]), partial(print, flush=True))
"""

pytestmark = in_a_browser("browser")


@pytest.fixture(scope="module")
def installation(tmp_path_factory) -> Installation:
    """A clinic in which V05 wears a strap, too."""
    made = build_clinic(tmp_path_factory.mktemp("clinic"))
    with made.registry() as registry:
        registry.people.pair("F0:F1:00:00:00:05", "V05")
    return made


@pytest.fixture(scope="module")
def address(installation) -> Iterator[str]:
    """A dashboard served by a process of its own, and straps of V01 and V02 that stream."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    stop = threading.Event()
    straps = threading.Thread(target=_stream, args=(installation, stop))
    straps.start()
    command = [sys.executable, "-c", SERVE, str(installation.home), str(port)]
    with subprocess.Popen(command, cwd=REPOSITORY, stdout=subprocess.PIPE, text=True) as server:
        yield server.stdout.readline().strip().rstrip("/")
        server.send_signal(signal.SIGTERM)
        assert server.wait(10) == 0
    stop.set()
    straps.join()


def _stream(installation: Installation, stop: threading.Event) -> None:
    with installation.timeseries() as store:
        write_heart_rate(store, "V05", SystemClock().now_ns(), [70.0])  # and is silent from here on
        for tick in count():
            for subject_id, slowest_bpm in (("V01", 60), ("V02", 80)):
                write_heart_rate(store, subject_id, SystemClock().now_ns(), [slowest_bpm + tick % 9])
            if stop.wait(TICK_S):
                return


@pytest.fixture(scope="module")
def browser():
    with sync_playwright() as engine:
        opened = launched(engine)
        yield opened
        opened.close()


@pytest.fixture
def visit(browser, address):
    """Return a function that signs in with a browser of its own; what went wrong fails the test."""
    problems: list[str] = []
    contexts = []

    def sign_in(name: str, width: int = 1440, *, is_expected: re.Pattern[str] | None = None):
        context = browser.new_context(viewport={"width": width, "height": 900})
        contexts.append(context)
        page = context.new_page()
        page.set_default_timeout(PATIENCE_MS)

        def note(text: str) -> None:
            if not (is_expected and is_expected.search(text)):
                problems.append(text)

        page.on("console", lambda m: note(m.text) if m.type in ("error", "warning") else None)
        page.on("pageerror", lambda e: note(str(e)))
        page.on(
            "request", lambda r: note(r.url) if not r.url.startswith((address, "data:", "blob:")) else None
        )
        page.goto(f"{address}/")
        page.fill("input[name=username]", name)
        page.fill("input[name=password]", PASSWORD)
        page.click("button[type=submit]")
        page.wait_for_selector(".triage-grid .ag-row")
        return page

    yield sign_in
    for context in contexts:
        context.close()
    assert problems == []


def test_list_shows_everyone_most_concerning_first_and_opens_a_patient_by_keyboard(visit, address):
    page = visit("lead")
    assert page.locator(".ag-pinned-left-cols-container .ag-row").count() == 8
    first = page.locator(".ag-pinned-left-cols-container .ag-row[row-index='0']")
    assert "Changed" in first.inner_text()
    assert page.locator(".ag-row .badge-simulated").count() == 8
    why = page.locator(".ag-row[row-index='0'] [col-id=why]")
    shown = "cell => { const own = getComputedStyle(cell); return [own.whiteSpace, own.webkitLineClamp] }"
    assert why.evaluate(shown) == ["normal", "2"], "a reason goes on in a second line"
    assert why.get_attribute("title") == why.inner_text()
    first.locator("[col-id=level]").focus()
    page.keyboard.press("Enter")
    page.wait_for_url(f"{address}/patient/V01")


def test_filter_finds_by_name_and_by_level(visit):
    page = visit("lead")
    rows = page.locator(".ag-pinned-left-cols-container .ag-row")
    page.fill("#triage-filter", "finch")
    expect(rows).to_have_count(1)
    expect(rows).to_contain_text("V06")
    page.fill("#triage-filter", "learning")
    expect(rows).to_contain_text("V04")


def test_heart_rate_moves_while_one_looks(visit, address):
    page = visit("lead")
    page.goto(f"{address}/patient/V01")
    number = page.locator("#live-number .live-bpm")
    seen = number.inner_text()
    expect(number).not_to_have_text(seen)
    assert 60 <= int(number.inner_text()) < 69
    page.goto(f"{address}/live")
    cards = page.locator(".live-cards")
    expect(cards).not_to_have_text(cards.inner_text())
    expect(page.locator(".live-card")).to_have_count(3)


def test_patient_page_draws_says_and_tabulates_every_chart(visit, address):
    page = visit("lead")
    page.goto(f"{address}/patient/V01")
    drawings = page.locator("[role=img][aria-label]")
    expect(page.locator(".js-plotly-plot")).to_have_count(7)
    expect(drawings).to_have_count(7)
    assert "outside the own band" in drawings.first.get_attribute("aria-label")
    assert page.locator(".modebar").count() == 0
    for summary in page.locator("details > summary").all():
        summary.click()
    for table in page.locator(".table-scroll").all():
        table.locator("td").first.wait_for()
    assert page.locator("#rmssd-chart-table tbody tr").count() >= 89  # 90 once tonight is over
    assert "below own usual" in page.locator(".flags").inner_text()


def test_a_level_without_a_flag_says_why(visit, address):
    page = visit("lead")
    page.goto(f"{address}/patient/V04")
    expect(page.locator(".patient-head")).to_contain_text("nights for an own normal")


def test_another_night_is_chosen_by_date(visit, address):
    page = visit("lead")
    page.goto(f"{address}/patient/V02")
    field = page.locator("input#night-date")
    wanted = date.fromisoformat(field.input_value()) - timedelta(days=1)
    field.fill(wanted.isoformat())
    expect(page.locator("#night-chart-heading")).to_have_text(f"Night to {morning_text(wanted)}")


def test_another_night_is_chosen_by_a_click_on_a_trend(visit, address):
    page = visit("lead")
    page.goto(f"{address}/patient/V02")
    page.wait_for_selector("#night-chart .main-svg")
    before = page.locator("#night-chart-heading").inner_text()
    page.locator("#rmssd-chart .points path").nth(20).click(force=True)
    expect(page.locator("#night-chart-heading")).not_to_have_text(before)


def test_others_patients_stay_closed(visit, address):
    page = visit("narrow", is_expected=re.compile("404"))
    assert "V01" not in page.content()
    page.goto(f"{address}/patient/V01")
    assert "no such patient in your case-load" in page.inner_text("main")
    assert page.locator(".js-plotly-plot").count() == 0


def test_an_ended_session_leaves_nobody_on_the_screen(visit, address):
    page = visit("lead", is_expected=re.compile("401"))
    page.goto(f"{address}/patient/V01")
    page.wait_for_selector("#live-number")
    page.context.clear_cookies()
    page.wait_for_url(f"{address}/sign-in?ended")
    assert "Your session has ended" in page.inner_text("main")
    assert "V01" not in page.content()


def test_the_button_back_brings_no_patient_after_signing_out(visit, address):
    page = visit("lead")
    page.goto(f"{address}/patient/V01")
    page.wait_for_selector("#live-number .live-bpm")
    page.click("text=Sign out")
    page.wait_for_url(f"{address}/sign-in")
    page.go_back()
    page.wait_for_url(f"{address}/sign-in")
    assert "V01" not in page.content()


@pytest.mark.parametrize(
    ("answer", "said"),
    [
        (lambda route: route.abort(), "No answer from evenkeel since"),
        (lambda route: route.fulfill(status=503), "The store of samples does not answer; nothing new since"),
    ],
)
def test_without_an_answer_no_heart_rate_looks_current(visit, address, answer, said):
    page = visit(
        "lead", is_expected=re.compile("Failed to load|did not respond|Failed to fetch|Callback error")
    )
    page.clock.install()
    page.goto(f"{address}/patient/V01")
    number, banner = page.locator("#live-number .live-bpm"), page.locator("#silence")
    number.wait_for()
    page.clock.run_for(2_000)
    expect(banner).to_be_hidden()
    page.route("**/_dash-update-component*", answer)
    page.clock.run_for(20_000)
    expect(banner).to_contain_text(said)
    expect(number).to_be_hidden()
    page.unroute("**/_dash-update-component*")
    page.clock.run_for(1_000)
    page.wait_for_timeout(0)
    page.clock.resume()
    expect(banner).to_be_hidden()
    expect(number).to_be_visible()


def test_a_page_opened_while_the_store_is_away_comes_by_itself_when_it_is_back(visit, address):
    page = visit("lead", is_expected=re.compile("Failed to load"))
    page.clock.install()
    page.route("**/_dash-layout*", lambda route: route.fulfill(status=503))
    page.goto(f"{address}/patient/V01")
    banner, chart = page.locator("#silence"), page.locator("#zoom-chart .scatterlayer .trace").first
    expect(banner).to_contain_text("The store of samples does not answer.")
    page.clock.run_for(10_000)
    expect(banner).to_be_visible()
    expect(chart).to_have_count(0)
    page.unroute("**/_dash-layout*")
    page.clock.run_for(5_000)
    page.clock.resume()
    chart.wait_for()
    expect(page.locator("#live-number .live-bpm")).to_be_visible()
    expect(banner).to_be_hidden()


def test_what_was_chosen_while_the_store_is_away_comes_when_it_is_back(visit, address):
    page = visit("lead", is_expected=re.compile("Failed to load|Callback error"))
    page.goto(f"{address}/patient/V01")
    page.wait_for_selector("#live-number .live-bpm")
    before = page.locator("#night-body h2").inner_text()
    page.clock.install()
    page.route("**/_dash-update-component*", lambda route: route.fulfill(status=503))
    earlier = date.fromisoformat(page.locator("#night-date").input_value()) - timedelta(days=2)
    page.fill("#night-date", f"{earlier}")
    expect(page.locator("#silence")).to_contain_text("nothing new since")
    expect(page.locator("#night-body h2")).to_have_text(before)
    page.unroute("**/_dash-update-component*")
    page.clock.run_for(5_000)
    page.clock.resume()
    expect(page.locator("#night-body h2")).to_contain_text(f"{earlier:%d %b %Y}")
    expect(page.locator("#silence")).to_be_hidden()


def test_what_a_silent_wearable_said_last_has_an_age(visit, address, installation):
    at_ns = SystemClock().now_ns() - 3 * 24 * 3600 * NS_PER_S
    with installation.registry() as registry, installation.timeseries() as store:
        registry.people.pair("F0:F1:00:00:00:04", "V04")
        write_heart_rate(store, "V04", at_ns, [61.0], battery_pct=77.0)
    page = visit("lead")
    page.goto(f"{address}/live")
    row = page.locator("tr", has_text="V04")
    expect(row).to_contain_text("3 d ago, there ")
    expect(row).to_contain_text("Battery 77 % (3 d ago)")


def test_a_link_of_a_live_card_keeps_its_focus(visit, address):
    page = visit("lead")
    page.goto(f"{address}/live")
    page.focus(".live-card a >> nth=0")
    number = page.locator(".live-bpm").first
    expect(number).not_to_have_text(number.inner_text())
    assert page.evaluate("document.activeElement.pathname") == "/patient/V01"


def test_the_age_of_data_grows_while_one_looks_at_the_list(visit, installation):
    page = visit("lead")
    with installation.timeseries() as store:
        write_heart_rate(store, "V05", SystemClock().now_ns(), [70.0])
    age = page.locator(".ag-row[row-id=V05] [col-id=last]")
    expect(age).to_have_text(
        re.compile(r"\d+ s ago"), timeout=70_000
    )  # who is silent is asked for each minute
    expect(age).not_to_have_text(age.inner_text())


def test_paper_says_when_and_by_whom(visit, address):
    page = visit("lead")
    page.goto(f"{address}/patient/V01")
    page.wait_for_selector("#live-number")
    line = page.locator("#printed")
    expect(line).to_be_hidden()
    page.emulate_media(media="print")
    page.evaluate("window.dispatchEvent(new Event('beforeprint'))")
    expect(line).to_be_visible()
    expect(line).to_contain_text(re.compile(r"Printed \d\d/\d\d/\d{4}, \d\d:\d\d:\d\d by lead"))


def test_narrow_screens_do_not_scroll_sideways(visit, address):
    page = visit("lead", width=360)
    for path in ("/", "/patient/V01", "/live"):
        page.goto(f"{address}{path}")
        page.wait_for_selector(".card, .triage-grid")
        page.wait_for_load_state("load")
        assert page.evaluate("document.documentElement.scrollWidth <= innerWidth"), path


def test_dates_below_charts_lie_apart_on_narrow_screens(visit, address):
    page = visit("lead", width=320)
    page.goto(f"{address}/patient/V01")
    dates = page.locator("#rmssd-chart .xtick text, #night-chart .xtick text")
    page.wait_for_selector("#rmssd-chart .xtick text")
    page.locator("#night-chart").scroll_into_view_if_needed()
    page.wait_for_selector("#night-chart .xtick text")
    boxes = sorted(
        (round(b["y"]), b["x"], b["x"] + b["width"]) for b in (d.bounding_box() for d in dates.all())
    )
    assert len(boxes) >= 6
    assert all(one[2] < other[1] for one, other in pairwise(boxes) if one[0] == other[0])


def test_signing_in_works_without_scripts(browser, address):
    page = browser.new_context(java_script_enabled=False).new_page()
    page.goto(f"{address}/sign-in")
    page.fill("input[name=username]", "lead")
    page.fill("input[name=password]", PASSWORD)
    page.click("button[type=submit]")
    assert page.url == f"{address}/"
    assert "needs JavaScript" in page.inner_text("main")
    page.click("text=Sign out")
    assert page.url == f"{address}/sign-in"
    page.context.close()
