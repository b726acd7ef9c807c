# Copyright glancetx contributors. See LICENSE for details.

"""
The tests of the distributions in ``docs/examples``, run as they stand there.
"""

from __future__ import annotations

import sys
from importlib import import_module
from pathlib import Path

from twisted.trial.unittest import SynchronousTestCase

import glancetx.backends  # noqa: F401  # before the path has folders of that name

EXAMPLES = Path(__file__).resolve().parent.parent / "docs" / "examples"
DISTRIBUTIONS = {
    "glancetx-httpstore": "glancetx_httpstore.test.test_backend",
    "glancetx-throttle": "glancetx_throttle.test.test_backend",
}


def cases(distribution: str, module: str) -> dict[str, type]:
    """The test cases of an example, as classes of this module."""
    sys.path.insert(0, str(EXAMPLES / distribution))
    try:
        found = vars(import_module(module))
    finally:
        sys.path.pop(0)
    return {
        name: type(name, (case,), {"__module__": __name__, "__doc__": case.__doc__})
        for name, case in found.items()
        if name.endswith("Tests")
        and isinstance(case, type)
        and issubclass(case, SynchronousTestCase)
        and case.__module__ == module
    }


class ExamplesTests(SynchronousTestCase):
    """``docs/examples``"""

    if not EXAMPLES.is_dir():
        skip = f"there is no {EXAMPLES}"

    def test_complete(self) -> None:
        """
        Every example that has tests is run here.
        """
        found = {path.parts[-4] for path in EXAMPLES.glob("*/*/test/__init__.py")}
        self.assertEqual(found, set(DISTRIBUTIONS))


if EXAMPLES.is_dir():
    for _distribution, _module in DISTRIBUTIONS.items():
        globals().update(cases(_distribution, _module))
