# Copyright glancetx contributors. See LICENSE for details.

"""
The command ``glancetx``: images for a person at a terminal.
"""

from .main import main

__all__ = ["main"]
