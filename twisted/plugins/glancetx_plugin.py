# Copyright glancetx contributors. See LICENSE for details.

"""
Makes ``twistd glancetx`` known.
"""

from twisted.application.service import ServiceMaker

glancetx = ServiceMaker(
    "glancetx",
    "glancetx.service",
    "Store, serve and stream virtual machine images",
    "glancetx",
)
