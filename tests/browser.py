"""Debian's Chromium, for tests that look at pages."""

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
