# Copyright glancetx contributors. See LICENSE for details.

"""
Tests of whole servers among dying parents, forged origins, cut uploads and kills.
"""
