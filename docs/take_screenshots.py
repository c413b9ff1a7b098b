"""Take the README's pictures from a running dashboard: `python docs/take_screenshots.py [http://127.0.0.1:8050]`."""

from __future__ import annotations

import argparse
import json
import tempfile
import urllib.request
from pathlib import Path

from selenium import webdriver
from selenium.webdriver.common.by import By
from selenium.webdriver.support import expected_conditions as expected
from selenium.webdriver.support.ui import WebDriverWait

IMAGES = Path(__file__).parent / "images"
FILTER = "alignment.in=II&binding_energy.min=10"


def browser(profile: str, width: int = 1440, height: int = 900) -> webdriver.Chrome:
    """A headless Chromium that talks to nobody but the dashboard."""
    options = webdriver.ChromeOptions()
    options.binary_location = "/usr/bin/chromium"
    for flag in (
        "--headless=new", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", "--disable-background-networking",
        "--disable-component-update", "--disable-sync", "--no-first-run", "--hide-scrollbars",
        f"--user-data-dir={profile}", f"--window-size={width},{height}", "--force-device-scale-factor=1",
        "--enable-unsafe-swiftshader",
    ):  # fmt: skip
        options.add_argument(flag)
    options.set_capability("goog:loggingPrefs", {"browser": "ALL"})
    return webdriver.Chrome(options, webdriver.ChromeService("/usr/bin/chromedriver"))


def take(address: str) -> None:
    """Save the list of candidates, that of all pairs, and the best pair's page."""
    IMAGES.mkdir(exist_ok=True)
    with urllib.request.urlopen(f"{address}/api/candidates.json?{FILTER}&limit=1", timeout=30) as answer:  # noqa: S310
        row = json.load(answer)["rows"][0]
    with tempfile.TemporaryDirectory() as profile:
        driver = browser(profile)
        driver.set_window_size(1440, 1040)
        try:
            wait = WebDriverWait(driver, 60)
            driver.get(f"{address}/?{FILTER}")
            wait.until(expected.presence_of_element_located((By.CSS_SELECTOR, ".candidate-grid .pair-link")))
            wait.until(expected.presence_of_element_located((By.CSS_SELECTOR, "#scatter .point")))
            driver.save_screenshot(str(IMAGES / "candidates.png"))
            driver.get(f"{address}/?alignment.in=II&of=pairs")
            named = ".candidate-grid .pair-link, .candidate-grid .pair-name"
            wait.until(expected.presence_of_element_located((By.CSS_SELECTOR, named)))
            wait.until(expected.presence_of_element_located((By.CSS_SELECTOR, "#summary b")))
            driver.save_screenshot(str(IMAGES / "pairs.png"))
            driver.set_window_size(1440, 1500)
            driver.get(f"{address}/pair/{row['bottom_uid']}/{row['top_uid']}")
            wait.until(expected.presence_of_element_located((By.CSS_SELECTOR, "#structure canvas")))
            wait.until(expected.presence_of_element_located((By.CSS_SELECTOR, "#bands .main-svg")))
            # WebGL draws after its canvas is there: two frames later it has.
            driver.execute_async_script(
                "const done = arguments[0]; requestAnimationFrame(() => requestAnimationFrame(() => done()));"
            )
            driver.save_screenshot(str(IMAGES / "pair.png"))
            driver.set_window_size(1440, 1180)
            driver.get(f"{address}/models/{_model(address)}")
            wait.until(expected.presence_of_element_located((By.CSS_SELECTOR, "#model-parity .main-svg")))
            driver.save_screenshot(str(IMAGES / "model.png"))
        finally:
            driver.quit()


def _model(address: str) -> int:
    """Number of the model that predicts the gap of a homobilayer, or of any if there is none."""
    with urllib.request.urlopen(f"{address}/api/models.json", timeout=30) as answer:  # noqa: S310
        found = json.load(answer)["models"]
    wanted = [one for one in found if (one["target"], one["domain"]) == ("gap", "homobilayer")]
    return int((wanted or found)[0]["version"])


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("address", nargs="?", default="http://127.0.0.1:8050")
    take(parser.parse_args().address)
