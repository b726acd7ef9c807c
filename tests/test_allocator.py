# Copyright glancetx contributors. See LICENSE for details.

"""
Tests for :mod:`glancetx.allocator`, each in a process of its own.
"""

from __future__ import annotations

import platform
import subprocess
import sys

from twisted.trial.unittest import SynchronousTestCase

WITHOUT = """
import resource

def use():
    # Chunks on their way: three at once, then none.
    chunks = [b"x" * 1048576 for _ in range(3)]

def faults():
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt

use()
before = faults()
for _ in range(64):
    use()
print(faults() - before)
"""

WITH = f"""
from glancetx.allocator import keep_freed_memory
keep_freed_memory()
{WITHOUT}
"""

PAGES = 64 * 3 * 256


def faults(program: str) -> int:
    """How many pages the kernel had to give to a program."""
    ended = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True
    )
    return int(ended.stdout)


class AllocatorTests(SynchronousTestCase):
    """What becomes of freed memory."""

    if platform.libc_ver()[0] != "glibc":
        skip = "the C library is not glibc"

    def test_kept(self) -> None:
        """
        The memory of freed chunks is used again without the kernel.
        """
        self.assertLess(faults(WITH), PAGES // 100)

    def test_needed(self) -> None:
        """
        Without our doing it would be fetched again and again.
        """
        self.assertGreater(faults(WITHOUT), PAGES // 10)
