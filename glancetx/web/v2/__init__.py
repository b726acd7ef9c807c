# Copyright glancetx contributors. See LICENSE for details.

"""
The OpenStack Image API v2, as Glance's clients know it.
"""
