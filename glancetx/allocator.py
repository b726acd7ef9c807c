# Copyright glancetx contributors. See LICENSE for details.

"""
Memory that chunks leave behind, kept for the chunks that follow.
"""

from __future__ import annotations

__all__ = ["KEPT", "keep_freed_memory"]

KEPT = 8 * 1024 * 1024
"""Bytes of the block that is freed once; twice as much is kept from then on."""


def keep_freed_memory() -> None:
    """
    Let the C library keep what chunks leave behind, instead of returning it to the
    kernel and fetching it again page by page, 100,000 times for a relayed GiB.

    What glibc keeps follows the largest block that was ever freed, mallopt(3),
    ``M_MMAP_THRESHOLD``; so one is made and freed. With other libraries nothing
    changes.
    """
    bytes(KEPT)
