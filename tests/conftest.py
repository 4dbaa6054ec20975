"""Rules for all tests."""

from __future__ import annotations

import os
from collections.abc import Generator

import pytest

# what one test trains with oneDNN another would have too, and TensorFlow crashes on some networks
os.environ["TF_ENABLE_ONEDNN_OPTS"] = "0"


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    item: pytest.Item, call: pytest.CallInfo[None]
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """In CI only `hardware` may skip: a test that silently does not run proves nothing."""
    report = yield
    if report.skipped and os.environ.get("CI") and not item.get_closest_marker("hardware"):
        report.outcome = "failed"
        report.longrepr = f"skipped in CI: {report.longrepr}"
    return report
