# Copyright glancetx contributors. See LICENSE for details.

"""
Stores, serves and streams virtual machine images across zones.
"""

__version__ = "0.1.0.dev0"
