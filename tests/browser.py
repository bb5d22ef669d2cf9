"""Debian's Chromium, for tests that look at pages."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from playwright.sync_api import Page, expect, sync_playwright

_CHROMIUM = Path("/usr/bin/chromium")
needs_browser = pytest.mark.skipif(not _CHROMIUM.exists(), reason="needs Debian's chromium: apt-get install chromium")
_QUIET = "--no-sandbox --disable-gpu --disable-quic --no-first-run --disable-background-networking --disable-sync"

# Whoever shares the machine may be at work.
expect.set_options(timeout=60_000)


@contextmanager
def browsing() -> Iterator[Page]:
    """A page of a browser that runs until the block ends."""
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=str(_CHROMIUM), args=_QUIET.split())
        yield browser.new_page(viewport={"width": 1440, "height": 1000})
        browser.close()


def sign_in(page: Page, url: str, user: str, password: str) -> None:
    """Sign in to Airflow, as a person does."""
    page.goto(url)
    page.fill('input[name="username"]', user)
    page.fill('input[name="password"]', password)
    page.keyboard.press("Enter")
    page.get_by_text("Dags", exact=True).first.wait_for()


def shoot(page: Page, name: str, folder: Path) -> None:
    """Keep a screenshot where a person can look at it: SCREENSHOTS, or the test's own folder."""
    page.screenshot(path=Path(os.environ.get("SCREENSHOTS", folder)) / f"{name}.png")
