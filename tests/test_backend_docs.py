# Copyright glancetx contributors. See LICENSE for details.

"""
Tests for the code in ``docs/backends.md``: it is run as it stands there.
"""

from __future__ import annotations

import inspect
import os
import re
from typing import Any

from twisted.trial.unittest import SkipTest, SynchronousTestCase

from glancetx.testing import memory

PAGE = os.path.join(os.path.dirname(__file__), "..", "docs", "backends.md")


def python_blocks() -> list[str]:
    """The Python code of the page; none where the documentation is not at hand."""
    if not os.path.exists(PAGE):
        return []
    with open(PAGE, encoding="utf-8") as page:
        return re.findall("^```python\n(.*?)^```$", page.read(), re.M | re.S)


BLOCKS = python_blocks()
NAMES: dict[str, Any] = {"__name__": __name__}
for _block in BLOCKS:
    exec(compile(_block, PAGE, "exec"), NAMES)


class ExampleTests(SynchronousTestCase):
    """The smallest backend, in the documentation"""

    def setUp(self) -> None:
        if not BLOCKS:
            raise SkipTest(f"{PAGE} is not installed with the tests")

    def test_is_the_memory_backend(self) -> None:
        """
        The page shows the backend that is in the package.
        """
        source = inspect.getsource(memory)
        for block in BLOCKS[1:-1]:
            self.assertIn(block.strip(), source)

    def test_suite(self) -> None:
        """
        The page's own tests are the conformance suite.
        """
        suite = NAMES["ShelfBackendTests"]
        self.assertTrue(issubclass(suite, NAMES["BackendTests"]))


if BLOCKS:
    ShelfBackendTests: Any = NAMES["ShelfBackendTests"]
