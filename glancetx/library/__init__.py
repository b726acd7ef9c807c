# Copyright glancetx contributors. See LICENSE for details.

"""
What the service does with images, without HTTP: one module for each noun.
"""
