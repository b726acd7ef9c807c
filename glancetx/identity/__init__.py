# Copyright glancetx contributors. See LICENSE for details.

"""
Who is asking, and who may do what.
"""
