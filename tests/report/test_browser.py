"""report.html in a real Chromium: no request, no error, hostile strings inert, everything works at 400 px."""

from __future__ import annotations

import json
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from selenium import webdriver
from selenium.webdriver.common.by import By
from selenium.webdriver.common.keys import Keys

from orchestrator.report.html import render_html
from tests.report.sample import FAILURES, HOSTILE, large_matrix, sample_matrix

pytestmark = pytest.mark.browser

_FLAGS = ("headless", "no-sandbox", "disable-gpu", "disable-quic", "no-first-run", "disable-background-networking",
          "disable-component-update", "disable-sync", "disable-dev-shm-usage")


@pytest.fixture(scope="module")
def browser() -> Iterator[webdriver.Chrome]:
    options = webdriver.ChromeOptions()
    options.binary_location = shutil.which("chromium") or ""
    options.set_capability("goog:loggingPrefs", {"browser": "ALL", "performance": "ALL"})
    options.unhandled_prompt_behavior = "ignore"
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as profile:
        for flag in (*_FLAGS, f"user-data-dir={profile}"):
            options.add_argument(f"--{flag}")
        service = webdriver.ChromeService(executable_path=shutil.which("chromedriver") or "")
        driver = webdriver.Chrome(options=options, service=service)
        yield driver
        driver.quit()


@pytest.fixture(scope="module")
def pages(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    folder = tmp_path_factory.mktemp("pages")
    matrices = {"plain": sample_matrix(), "hostile": sample_matrix(hostile=HOSTILE), "large": large_matrix()}
    for name, matrix in matrices.items():
        (folder / f"{name}.html").write_text(render_html(matrix), encoding="utf-8")
    return {name: (folder / f"{name}.html").as_uri() for name in matrices}


def visit(browser: webdriver.Chrome, url: str, *, width: int = 1280, theme: str = "light") -> None:
    log(browser, "browser")
    log(browser, "performance")
    browser.execute_cdp_cmd("Emulation.setDeviceMetricsOverride",
                            {"width": width, "height": 900, "deviceScaleFactor": 1, "mobile": False})
    browser.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": [{"name": "prefers-color-scheme", "value": theme}]})
    browser.get("about:blank")
    browser.get(url)


def ask(browser: webdriver.Chrome, script: str) -> Any:
    return browser.execute_script(f"return {script}")


def log(browser: webdriver.Chrome, kind: str) -> list[dict[str, Any]]:
    """What was logged since the last call."""
    entries: list[dict[str, Any]] = browser.get_log(kind)  # type: ignore[no-untyped-call]
    return entries


def requests(browser: webdriver.Chrome) -> list[str]:
    """What was asked for since the visit, as the browser's own protocol reports it."""
    messages = [json.loads(entry["message"])["message"] for entry in log(browser, "performance")]
    return [m["params"]["request"]["url"] for m in messages if m["method"] == "Network.requestWillBeSent"]


@pytest.mark.parametrize("name", ["plain", "hostile", "large"])
def test_nothing_is_requested_and_the_console_is_silent(browser: webdriver.Chrome, pages: dict[str, str], name: str) -> None:
    visit(browser, pages[name])
    browser.find_element(By.ID, "all").click()
    asked = [url for url in requests(browser) if url not in (pages[name], "about:blank", "data:,")]
    assert asked == []
    assert log(browser, "browser") == []
    assert ask(browser, "performance.getEntriesByType('resource').filter(e => !e.name.startsWith('data:')).length") == 0


def test_the_request_check_sees_a_request(browser: webdriver.Chrome, tmp_path: Path) -> None:
    page = tmp_path / "asks.html"
    page.write_text("<!doctype html><img src='http://127.0.0.1:9/x.png'>", encoding="utf-8")
    visit(browser, page.as_uri())
    assert "http://127.0.0.1:9/x.png" in requests(browser)


def test_hostile_strings_are_text(browser: webdriver.Chrome, pages: dict[str, str]) -> None:
    visit(browser, pages["hostile"])
    assert "<script>alert(1)</script>" in ask(browser, "document.body.textContent")
    assert ask(browser, "document.querySelectorAll('img, iframe, object, embed').length") == 0
    assert ask(browser, "document.scripts.length") == 2
    assert ask(browser, "document.title").startswith('default"><script>')
    visit(browser, pages["plain"])
    plain = ask(browser, "document.querySelectorAll('*').length")
    visit(browser, pages["hostile"])
    # Failed cells without a log get one (the hostile text), each with its heading; nothing else may be new.
    new_logs = ask(browser, "document.querySelectorAll('pre').length") - sum(bool(f[3]) for f in FAILURES.values())
    assert ask(browser, "document.querySelectorAll('*').length") == plain + 2 * new_logs


def test_the_policy_stops_a_script_even_if_escaping_failed(browser: webdriver.Chrome, tmp_path: Path) -> None:
    page = tmp_path / "broken.html"
    injected = "<script>window.owned = 1</script><b onclick='window.owned = 2' id='x'>x</b>"
    page.write_text(render_html(sample_matrix()).replace("<main>", f"<main>{injected}"), encoding="utf-8")
    visit(browser, page.as_uri())
    browser.find_element(By.ID, "x").click()
    assert ask(browser, "window.owned") is None


def test_each_status_shows_its_badge(browser: webdriver.Chrome, pages: dict[str, str]) -> None:
    visit(browser, pages["plain"])
    for status, reason, _, _ in FAILURES.values():
        links = browser.find_elements(By.XPATH, f"//table//a[.//*[@data-status='{status}']]")
        assert len(links) == 1
        assert links[0].is_displayed()
        assert reason in links[0].text


def test_view_switches_the_grid_and_the_plots_by_keyboard(browser: webdriver.Chrome, pages: dict[str, str]) -> None:
    visit(browser, pages["plain"])
    cell = browser.find_element(By.CSS_SELECTOR, "a[href='#c0']")
    plot = browser.find_element(By.CSS_SELECTOR, "figure[data-plot=m0g0]")
    before = plot.find_element(By.TAG_NAME, "circle").get_attribute("cx")
    assert "µs" in cell.text
    radio = browser.find_element(By.CSS_SELECTOR, "input[value=latency]")
    radio.send_keys(Keys.ARROW_RIGHT)
    assert "/s" in cell.text
    assert "µs" not in cell.text
    assert "inferences/s" in plot.text
    assert plot.find_element(By.TAG_NAME, "circle").get_attribute("cx") != before
    radio.send_keys(Keys.ARROW_RIGHT, Keys.ARROW_RIGHT)
    browser.find_element(By.CSS_SELECTOR, "input[value=throughput]").send_keys(Keys.ARROW_LEFT)
    assert "µs" in cell.text
    assert plot.find_element(By.TAG_NAME, "circle").get_attribute("cx") == before


def test_clicking_a_cell_opens_its_details(browser: webdriver.Chrome, pages: dict[str, str]) -> None:
    visit(browser, pages["plain"])
    detail = browser.find_element(By.ID, "c0")
    assert detail.get_attribute("open") is None
    browser.find_element(By.CSS_SELECTOR, "a[href='#c0']").click()
    assert detail.get_attribute("open") is not None
    assert "51 samples per trial; 130 needed" in detail.text
    assert ask(browser, "document.activeElement.parentElement.id") == "c0"


def test_an_address_with_a_cell_opens_it(browser: webdriver.Chrome, pages: dict[str, str]) -> None:
    visit(browser, f"{pages['plain']}#c5")
    assert browser.find_element(By.ID, "c5").get_attribute("open") is not None


def test_all_details_open_and_close(browser: webdriver.Chrome, pages: dict[str, str]) -> None:
    visit(browser, pages["plain"])
    button = browser.find_element(By.ID, "all")
    button.click()
    assert ask(browser, "document.querySelectorAll('details:not([open])').length") == 0
    button.click()
    assert ask(browser, "document.querySelectorAll('details[open]').length") == 0


@pytest.mark.parametrize("theme", ["light", "dark"])
@pytest.mark.parametrize("name", ["plain", "hostile", "large"])
def test_no_sideways_scrolling_at_400_px(browser: webdriver.Chrome, pages: dict[str, str], name: str, theme: str) -> None:
    visit(browser, pages[name], width=400, theme=theme)
    for script in ("1", "document.getElementById('all').click()"):
        ask(browser, script)
        assert ask(browser, "innerWidth") == 400
        assert ask(browser, "document.documentElement.scrollWidth") <= 400


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_text_stands_out_from_its_background(browser: webdriver.Chrome, pages: dict[str, str], theme: str) -> None:
    visit(browser, pages["plain"], theme=theme)
    worst = ask(browser, _CONTRAST)
    assert worst["ratio"] >= 4.5, worst


def test_without_script_every_figure_is_there(browser: webdriver.Chrome, pages: dict[str, str]) -> None:
    browser.execute_cdp_cmd("Emulation.setScriptExecutionDisabled", {"value": True})
    try:
        visit(browser, pages["plain"])
        text = browser.find_element(By.CSS_SELECTOR, "a[href='#c0']").text
        assert all(part in text for part in ("µs", "/s", "MB", "first inference"))
        assert not browser.find_element(By.ID, "all").is_displayed()
    finally:
        browser.execute_cdp_cmd("Emulation.setScriptExecutionDisabled", {"value": False})


# WCAG 2's contrast of each visible text with the nearest opaque background; the smallest found.
_CONTRAST = """(() => {
  const channel = (v) => (v /= 255) <= 0.03928 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4;
  const parse = (text) => text.match(/[\\d.]+/g).map(Number);
  const light = ([r, g, b]) => 0.2126 * channel(r) + 0.7152 * channel(g) + 0.0722 * channel(b);
  const behind = (e) => {
    for (; e; e = e.parentElement) {
      const c = parse(getComputedStyle(e).backgroundColor);
      if (c.length < 4 || c[3] === 1) return c;
    }
    return [255, 255, 255];
  };
  let worst = { ratio: 99 };
  for (const e of document.querySelectorAll("body *:not(script):not(svg *)")) {
    if (!e.checkVisibility() || ![...e.childNodes].some((n) => n.nodeType === 3 && n.data.trim())) continue;
    const [a, b] = [light(parse(getComputedStyle(e).color)), light(behind(e))];
    const ratio = (Math.max(a, b) + 0.05) / (Math.min(a, b) + 0.05);
    if (ratio < worst.ratio) worst = { ratio, text: e.textContent.slice(0, 60), className: e.className };
  }
  return worst;
})()"""
