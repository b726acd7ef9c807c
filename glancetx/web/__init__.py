# Copyright glancetx contributors. See LICENSE for details.

"""
HTTP: the only rooms that know statuses.

``channel``, ``request``, ``body``, ``sendfile``, ``site`` and what they lean on
(``gate``, ``target``, ``refusal``, ``reaper``, ``accesslog``) are all that is
intimate with ``twisted.web``; the other rooms see a request and its body.
"""
