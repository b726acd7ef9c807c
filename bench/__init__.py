# Copyright glancetx contributors. See LICENSE for details.

"""
Measured comparisons, each against a peer in the same run; see docs/benchmarks.md.
"""
