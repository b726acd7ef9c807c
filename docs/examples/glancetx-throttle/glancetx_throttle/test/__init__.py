# Copyright glancetx contributors. See LICENSE for details.
