# Copyright glancetx contributors. See LICENSE for details.

"""
Limits how fast a store reads and writes, whatever its backend is.
"""
