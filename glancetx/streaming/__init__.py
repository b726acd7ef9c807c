# Copyright glancetx contributors. See LICENSE for details.

"""
Segments to a consumer, with back-pressure.
"""
