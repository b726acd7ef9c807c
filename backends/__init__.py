# Copyright glancetx contributors. See LICENSE for details.

"""
Backends, found as Twisted plugins.
"""

from twisted.plugin import pluginPackagePaths

__path__.extend(pluginPackagePaths(__name__))
__all__: list[str] = []
