# Copyright glancetx contributors. See LICENSE for details.

"""
Tests with other programs, skipped where these are not installed.
"""
