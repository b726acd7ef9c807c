# Copyright glancetx contributors. See LICENSE for details.

"""
Pieces as objects of OpenStack's Swift.
"""
