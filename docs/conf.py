# Copyright glancetx contributors. See LICENSE for details.

"""
Configuration of Sphinx.
"""

import glancetx

project = "glancetx"
copyright = "glancetx contributors"
release = glancetx.__version__
extensions = ["myst_parser"]
exclude_patterns = ["_build", "examples"]
html_theme = "alabaster"
myst_heading_anchors = 3
