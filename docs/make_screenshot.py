"""Takes a picture of a report with headless Chromium: docs/make_screenshot.py REPORT.html OUT.png [--width 1280] [--dark].

Needs Chromium, ChromeDriver and selenium (the `dev` extra). `--height 0` takes the whole page.
"""

from __future__ import annotations

import argparse
import base64
import shutil
import tempfile
from pathlib import Path

from selenium import webdriver


def screenshot(report: Path, out: Path, *, width: int, height: int, theme: str) -> None:
    """Writes a PNG of `report` as a window of `width` × `height` CSS pixels shows it."""
    chromium, driver_path = shutil.which("chromium"), shutil.which("chromedriver")
    if chromium is None or driver_path is None:
        raise SystemExit("chromium and chromedriver are needed: apt-get install chromium chromium-driver")
    options = webdriver.ChromeOptions()
    options.binary_location = chromium
    with tempfile.TemporaryDirectory() as profile:
        for flag in ("headless", "no-sandbox", "disable-gpu", "disable-quic", "no-first-run", "hide-scrollbars",
                     "disable-background-networking", "disable-component-update", "disable-sync",
                     f"user-data-dir={profile}"):
            options.add_argument(f"--{flag}")
        driver = webdriver.Chrome(options=options, service=webdriver.ChromeService(executable_path=driver_path))
        try:
            driver.execute_cdp_cmd("Emulation.setEmulatedMedia",
                                   {"features": [{"name": "prefers-color-scheme", "value": theme}]})
            metrics = {"width": width, "height": height or 900, "deviceScaleFactor": 1, "mobile": False}
            driver.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", metrics)
            driver.get(report.resolve().as_uri())
            shot = driver.execute_cdp_cmd("Page.captureScreenshot", {"format": "png", "captureBeyondViewport": not height})
        finally:
            driver.quit()
    out.write_bytes(base64.b64decode(shot["data"]))


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("report", type=Path)
    parser.add_argument("out", type=Path)
    parser.add_argument("--width", type=int, default=1280)
    parser.add_argument("--height", type=int, default=1100, help="0: the whole page")
    parser.add_argument("--dark", action="store_const", const="dark", default="light", dest="theme")
    found = parser.parse_args()
    screenshot(found.report, found.out, width=found.width, height=found.height, theme=found.theme)


if __name__ == "__main__":
    main()
