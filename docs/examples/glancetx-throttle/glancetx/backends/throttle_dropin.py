# Copyright glancetx contributors. See LICENSE for details.

"""
Makes the backend known to glancetx, as a plug-in of Twisted.
"""

from glancetx_throttle.backend import throttle

__all__ = ["throttle"]
