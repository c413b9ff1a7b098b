"""The whole dashboard, served by its real server and driven in a real browser."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
import urllib.error
import urllib.request
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest
from known_rows import screened_engine  # noqa: F401 - a fixture
from pymatgen.core import Structure
from selenium import webdriver
from selenium.webdriver.common.by import By
from selenium.webdriver.common.keys import Keys
from selenium.webdriver.remote.webdriver import WebDriver
from selenium.webdriver.support import expected_conditions as expected
from selenium.webdriver.support.ui import WebDriverWait
from sqlalchemy import Engine

pytestmark = [pytest.mark.browser, pytest.mark.services]

PATIENCE = 60
# The software WebGL of a machine without a graphics card, and the browser's advice on a canvas that plotly reads.
NOT_OURS = re.compile(r"WebGL|GL Driver Message|willReadFrequently|SwiftShader")


@pytest.fixture(scope="module")
def address(screened_engine: Engine) -> Iterator[str]:  # noqa: F811
    """Address of a dashboard served by `stackscreen dashboard` on a port that the system chose."""
    data = tempfile.mkdtemp(prefix="stackscreen-test-dashboard-")
    environment = {
        **os.environ,
        "STACKSCREEN_DATABASE_URL": screened_engine.url.set(drivername="postgresql").render_as_string(
            hide_password=False
        ),
        "STACKSCREEN_DATA_DIR": data,
        "STACKSCREEN_DASHBOARD__WORKERS": "1",
    }
    program = "from stackscreen.cli import main; main()"
    command = [sys.executable, "-c", program, "dashboard", "--port", "0"]
    server = subprocess.Popen(command, env=environment, stderr=subprocess.PIPE, text=True)
    try:
        assert server.stderr is not None
        lines = []
        for line in server.stderr:
            lines.append(line)
            found = re.search(r"dashboard on (http://\S+)", line)
            if found:
                yield found[1]
                break
        else:
            pytest.fail(f"the dashboard did not start: {''.join(lines)}")
        server.terminate()
        assert server.wait(30) == 0
    finally:
        server.kill()
        server.wait()
        shutil.rmtree(data, ignore_errors=True)


@pytest.fixture(scope="module")
def driver() -> Iterator[WebDriver]:
    chromium, chromedriver = shutil.which("chromium"), shutil.which("chromedriver")
    if not chromium or not chromedriver:
        pytest.skip("chromium and chromedriver are not on the PATH: run `make browser`")
    profile = tempfile.mkdtemp(prefix="stackscreen-test-chromium-")
    options = webdriver.ChromeOptions()
    options.binary_location = chromium
    for flag in (
        "--headless=new", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", "--disable-background-networking",
        "--disable-component-update", "--disable-sync", "--no-first-run", "--enable-unsafe-swiftshader",
        f"--user-data-dir={profile}", "--window-size=1440,1000",
    ):  # fmt: skip
        options.add_argument(flag)
    options.set_capability("goog:loggingPrefs", {"browser": "ALL", "performance": "ALL"})
    browser = webdriver.Chrome(options, webdriver.ChromeService(chromedriver))
    # The distribution's own start page is none of ours: what it asked for is forgotten.
    browser.get("about:blank")
    browser.get_log("performance")
    yield browser
    browser.quit()
    shutil.rmtree(profile, ignore_errors=True)


def _shown(driver: WebDriver) -> int:
    """Candidates that the summary counts; 0 while there is none."""
    found = driver.find_elements(By.CSS_SELECTOR, "#summary b")
    return int(found[0].text.replace(",", "")) if found and found[0].text else 0


def _badges(driver: WebDriver) -> set[str]:
    return {badge.text for badge in driver.find_elements(By.CSS_SELECTOR, ".candidate-grid .badge")}


def test_from_the_list_through_a_filter_to_a_pair_and_its_file_with_a_silent_console(
    driver: WebDriver, address: str
) -> None:
    wait = WebDriverWait(driver, PATIENCE, ignored_exceptions=[Exception])
    driver.get(address)
    wait.until(expected.presence_of_element_located((By.CSS_SELECTOR, ".candidate-grid .pair-link")))
    wait.until(expected.presence_of_element_located((By.CSS_SELECTOR, "#scatter .point")))
    everything = _shown(driver)
    assert {"I", "II", "metal"} <= _badges(driver)

    # A filter by the panel: the rows, the count and the address follow.
    driver.find_element(By.XPATH, "//label[normalize-space()='II']").click()
    wait.until(lambda _: 0 < _shown(driver) < everything)
    wait.until(lambda _: _badges(driver) == {"II"})
    assert parse_qs(urlsplit(driver.current_url).query) == {"alignment.in": ["II"]}
    least = driver.find_element(By.CSS_SELECTOR, "input[aria-label='Gap (eV), minimum']")
    least.send_keys("0.3", Keys.TAB)
    wait.until(lambda _: "gap.min=0.3" in driver.current_url)
    staggered = wait.until(lambda _: _shown(driver))

    # A column's header sorts, and the address holds it.
    driver.find_element(By.CSS_SELECTOR, ".ag-header-cell[col-id='binding_energy'] .ag-header-cell-label").click()
    wait.until(lambda _: "sort=-binding_energy" in driver.current_url)

    # The way back undoes the order, and the way forward does it again.
    sorted_header = (By.CSS_SELECTOR, ".ag-header-cell[col-id='binding_energy'][aria-sort='descending']")
    wait.until(expected.presence_of_element_located(sorted_header))
    driver.back()
    wait.until(lambda _: "sort=" not in driver.current_url)
    wait.until_not(expected.presence_of_element_located(sorted_header))
    driver.forward()
    wait.until(lambda _: "sort=-binding_energy" in driver.current_url)
    wait.until(expected.presence_of_element_located(sorted_header))

    # The same address in a new page is the same view.
    wanted = driver.current_url
    driver.get("about:blank")
    driver.get(wanted)
    wait.until(lambda _: _badges(driver) == {"II"})
    wait.until(lambda _: _shown(driver) == staggered)
    assert driver.current_url == wanted
    assert driver.find_element(By.CSS_SELECTOR, "input[aria-label='Gap (eV), minimum']").get_attribute("value") == "0.3"
    assert driver.find_element(By.XPATH, "//label[normalize-space()='II']/preceding-sibling::input").is_selected()
    energies = driver.find_elements(By.CSS_SELECTOR, ".ag-cell[col-id='binding_energy']")
    numbers = [
        float(cell.text.split()[0]) for cell in sorted(energies, key=lambda cell: cell.location["y"]) if cell.text
    ]
    assert numbers == sorted(numbers, reverse=True)

    # A pair: the stack in 3D, the bands, the numbers with their origin.
    link = driver.find_element(By.CSS_SELECTOR, ".candidate-grid .pair-link")
    formula = link.text.split()[0]
    link.click()
    wait.until(expected.text_to_be_present_in_element((By.TAG_NAME, "h1"), formula))
    wait.until(expected.presence_of_element_located((By.CSS_SELECTOR, "#structure canvas")))
    wait.until(expected.presence_of_element_located((By.CSS_SELECTOR, "#bands .main-svg")))
    page = driver.find_element(By.ID, "page").text
    assert "Generated, not relaxed" in page
    assert "Type II" in page
    assert "MAE 0.16 eV on unseen materials" in page
    assert "Haastrup" in page
    assert "approximate" in page

    # Its file is one that others read.
    href = driver.find_element(By.ID, "download-cif").get_attribute("href")
    with urllib.request.urlopen(href, timeout=PATIENCE) as answer:
        text = answer.read().decode()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # pymatgen says that it rounds thirds
        structure = Structure.from_str(text, fmt="cif")
    assert f"{len(structure)} atoms" in page

    # Where things stand.
    driver.find_element(By.LINK_TEXT, "Models").click()
    wait.until(expected.text_to_be_present_in_element((By.TAG_NAME, "h1"), "Models"))
    driver.find_element(By.CSS_SELECTOR, ".model-card").click()
    wait.until(lambda _: "stackscreen models show" in driver.find_element(By.ID, "page").text)
    driver.find_element(By.LINK_TEXT, "Data").click()
    wait.until(expected.text_to_be_present_in_element((By.TAG_NAME, "h1"), "Data"))
    assert "overlapping-atoms" in driver.find_element(By.ID, "page").text

    loud = [entry for entry in driver.get_log("browser") if entry["level"] in {"SEVERE", "WARNING"}]
    ours = [entry["message"] for entry in loud if not NOT_OURS.search(entry["message"])]
    assert not ours, "\n".join(ours)
    asked = re.findall(r'"url":"(https?://[^"]+)"', str([entry["message"] for entry in driver.get_log("performance")]))
    assert asked
    foreign = {url for url in asked if not url.startswith(address)}
    assert foreign == set(), "a page asked another host for something"


def _asked(address: str, path: str) -> Any:
    with urllib.request.urlopen(address + path, timeout=PATIENCE) as answer:
        return json.load(answer)


def test_all_pairs_are_listed_under_the_same_filter_and_what_only_candidates_have_is_disabled(
    driver: WebDriver, address: str
) -> None:
    wait = WebDriverWait(driver, PATIENCE, ignored_exceptions=[Exception])
    driver.get(f"{address}/?kind.in=heterobilayer&gap.min=0.1")
    wait.until(expected.presence_of_element_located((By.CSS_SELECTOR, ".candidate-grid .pair-link")))
    candidates = wait.until(lambda _: _shown(driver))
    driver.find_element(By.LINK_TEXT, "All pairs").click()
    # The first scan after an installation compiles the code that looks at pairs.
    patient = WebDriverWait(driver, 3 * PATIENCE, ignored_exceptions=[Exception])
    patient.until(expected.presence_of_element_located((By.CSS_SELECTOR, ".candidate-grid .pair-name")))
    # The filter stays, but for what is not known of every pair.
    assert parse_qs(urlsplit(driver.current_url).query) == {"kind.in": ["heterobilayer"], "of": ["pairs"]}
    pairs = wait.until(lambda _: _shown(driver))
    told = _asked(address, "/api/pairs.json?kind.in=heterobilayer&limit=1000")
    assert pairs == told["total"] == len(told["rows"]) > candidates
    assert driver.find_element(By.CSS_SELECTOR, "[aria-label='What is listed'] [aria-current]").text == "All pairs"
    gap = driver.find_element(By.CSS_SELECTOR, "input[aria-label='Gap (eV), minimum']")
    assert not gap.is_enabled()
    assert "Known of candidates only" in driver.find_element(By.CSS_SELECTOR, ".filter-panel").text
    assert not driver.find_element(By.ID, "scatter").is_displayed()

    # Sorted and filtered as candidates are, in the address.
    driver.find_element(By.CSS_SELECTOR, ".ag-header-cell[col-id='strain'] .ag-header-cell-label").click()
    wait.until(lambda _: "sort=-strain" in driver.current_url)
    assert "of=pairs" in driver.current_url
    most = driver.find_element(By.CSS_SELECTOR, "input[aria-label='Atoms, maximum']")
    most.send_keys("60", Keys.TAB)
    wait.until(lambda _: "n_atoms.max=60" in driver.current_url and 0 < _shown(driver) < pairs)
    few = _shown(driver)
    told = _asked(address, "/api/pairs.json?kind.in=heterobilayer&n_atoms.max=60&sort=-strain")
    assert few == told["total"]
    assert told["rows"] == sorted(told["rows"], key=lambda row: -row["strain"])
    href = driver.find_element(By.ID, "csv-link").get_attribute("href")
    with urllib.request.urlopen(href, timeout=PATIENCE) as answer:
        lines = answer.read().decode().splitlines()
    assert len(lines) == few + 1
    assert lines[0].startswith("bottom_uid,bottom_formula,top_uid,top_formula,")

    # The way back to the candidates keeps the filter; the default order is theirs too.
    driver.find_element(By.ID, "to-candidates").click()
    wait.until(expected.presence_of_element_located((By.CSS_SELECTOR, "#scatter .point")))
    assert parse_qs(urlsplit(driver.current_url).query) == {
        "kind.in": ["heterobilayer"], "n_atoms.max": ["60"], "sort": ["-strain"],
    }  # fmt: skip
    loud = [entry for entry in driver.get_log("browser") if entry["level"] in {"SEVERE", "WARNING"}]
    ours = [entry["message"] for entry in loud if not NOT_OURS.search(entry["message"])]
    assert not ours, "\n".join(ours)


def test_an_address_that_makes_no_sense_is_answered_in_a_sentence(driver: WebDriver, address: str) -> None:
    wait = WebDriverWait(driver, PATIENCE, ignored_exceptions=[Exception])
    driver.get(f"{address}/?gap.min=wide")
    wait.until(expected.text_to_be_present_in_element((By.ID, "page"), "gap.min = 'wide' is not a number"))
    driver.get(f"{address}/?gap.min=1&of=pairs")
    wait.until(expected.text_to_be_present_in_element((By.ID, "page"), "Gap (gap) is known of candidates only"))
    driver.get(f"{address}/pair/MoS2-nothere/WSe2-nothere")
    wait.until(expected.text_to_be_present_in_element((By.ID, "page"), "not among the candidates"))


def test_a_port_in_use_is_said_in_a_sentence_with_the_next_step(address: str) -> None:
    port = str(urlsplit(address).port)
    program = "from stackscreen.cli import main; main()"
    command = [sys.executable, "-c", program, "dashboard", "--port", port]
    answer = subprocess.run(command, capture_output=True, text=True, timeout=PATIENCE, check=False)
    assert answer.returncode == 1
    assert "in use" in answer.stderr
    assert "STACKSCREEN_DASHBOARD__PORT=" in answer.stderr
    assert "Traceback" not in answer.stderr


def test_the_twin_addresses_answer_bad_questions_with_a_status_and_a_sentence(address: str) -> None:
    for path, status in (
        ("/api/candidates.json?gap.min=x", 400),
        ("/api/candidates.json?limit=0", 400),
        ("/api/candidates.csv?sort=colour", 400),
        ("/api/pairs.json?gap.min=1", 400),
        ("/api/pairs.json?limit=1001", 400),
        ("/api/pairs.csv?sort=binding_energy", 400),
        ("/api/pair/a/b.cif", 404),
    ):
        with pytest.raises(urllib.error.HTTPError) as caught:
            urllib.request.urlopen(address + path, timeout=PATIENCE)
        assert caught.value.code == status, path
        assert b'"error"' in caught.value.read()


def test_pages_need_nothing_from_elsewhere() -> None:
    """No style sheet, script or image of ours names another host."""
    assets = Path(__file__).parents[2] / "dashboard" / "assets"
    for path in assets.iterdir():
        urls = re.findall(r"https?://[^\s\"')]+", path.read_text(encoding="utf-8"))
        assert [url for url in urls if not url.startswith("http://www.w3.org/")] == [], path.name
