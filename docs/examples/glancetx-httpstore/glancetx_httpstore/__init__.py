# Copyright glancetx contributors. See LICENSE for details.

"""
Pieces on a web server, for glancetx to read.
"""
