# Copyright glancetx contributors. See LICENSE for details.

"""
Tests of glancetx.
"""
