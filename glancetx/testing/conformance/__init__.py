# Copyright glancetx contributors. See LICENSE for details.

"""
The rules of ``glancetx.interfaces``, as tests that every backend must pass.
"""

from .failing import FailingTests
from .files import FileTests
from .producing import ProducingTests
from .reading import ReadingTests
from .removing import RemovingTests
from .unsteady import UnsteadyTests
from .writing import WritingTests

__all__ = [
    "BackendTests",
    "FailingTests",
    "FileTests",
    "ProducingTests",
    "ReadingTests",
    "RemovingTests",
    "UnsteadyTests",
    "WritingTests",
]


class BackendTests(
    ReadingTests,
    ProducingTests,
    FileTests,
    WritingTests,
    RemovingTests,
    FailingTests,
    UnsteadyTests,
):
    """
    Tests of one backend. Inherit from this, then from trial's ``TestCase``::

        class TapeBackendTests(BackendTests, TestCase):
            def setUp(self):
                self.folder = self.mktemp()
                self.tools = threaded_tools(self)

            def make_backend(self):
                return TapeBackend(self.folder, self.tools)

    :meth:`~.hooks.Hooks.make_backend` is needed, all other hooks of
    :class:`~.hooks.Hooks` are offers: what a backend cannot offer is not tested, and
    the test says so when it is skipped.
    """
