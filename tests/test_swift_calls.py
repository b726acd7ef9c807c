# Copyright glancetx contributors. See LICENSE for details.

"""
Tests for :mod:`glancetx.backends.swift.calls` and ``.exchange``.
"""

from __future__ import annotations

from functools import partial
from operator import methodcaller
from typing import Any

from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.protocol import Protocol
from twisted.logger import capturedLogs, formatEvent
from twisted.web.http_headers import Headers

from glancetx.errors import StoreFull

from .swift_calls_case import ROOT, CallsCase


class RequestTests(CallsCase):
    """One request that is answered"""

    def test_sent(self) -> None:
        """
        A request has the account's URL, its path quoted, and the token.
        """
        self.request(b"PUT", "c d/ä/1", query="a=b", headers=Headers({b"X-A": [b"1"]}))
        asked = self.last
        self.assertEqual(asked.method, b"PUT")
        self.assertEqual(asked.url, f"http://a{ROOT}/c%20d/%C3%A4/1?a=b")
        self.assertEqual(asked.header(b"X-Auth-Token"), "token-1")
        self.assertEqual(asked.header(b"X-A"), "1")
        self.assertTrue((asked.header(b"User-Agent") or "").startswith("glancetx/"))
        self.assertIsNone(asked.header(b"X-Newest"))

    def test_account(self) -> None:
        """
        An empty path is the account itself.
        """
        self.request(path="", query="format=json")
        self.assertEqual(self.last.url, f"http://a{ROOT}?format=json")

    def test_in_turn(self) -> None:
        """
        Proxies are asked in turn; the answer says which one gave it.
        """
        for proxy in ("a", "b", "a"):
            d = self.request()
            self.last.answer(200)
            self.assertEqual(self.successResultOf(d).proxy, f"http://{proxy}{ROOT}")

    def test_after(self) -> None:
        """
        A proxy that failed the caller is not asked next.
        """
        for _ in range(3):
            self.request(proxy_after=f"http://a{ROOT}")
        self.assertEqual(self.hosts(), ["b", "b", "b"])

    def test_answer(self) -> None:
        """
        Of an answer there are status and headers.
        """
        d = self.request(b"HEAD")
        self.last.answer(200, b"", ETag='"abc" ', Content_Length="5")
        response = self.successResultOf(d)
        self.assertEqual(response.code, 200)
        self.assertEqual(response.header(b"etag"), b'"abc"')
        self.assertIsNone(response.header(b"X-None"))

    def test_streamed(self) -> None:
        """
        The body of a GET is the caller's.
        """
        d = self.request()
        raw = self.last.answer(200, None)
        response = self.successResultOf(d)
        self.assertIsNone(response.body)
        taken: list[bytes] = []
        protocol = Protocol()
        protocol.dataReceived = taken.append  # type: ignore[method-assign,assignment]
        response.deliver(protocol)
        raw.feed(b"one", b"two")
        self.assertEqual(taken, [b"one", b"two"])

    def test_dropped(self) -> None:
        """
        A caller who does not want the body closes the connection.
        """
        d = self.request()
        raw = self.last.answer(200, None)
        self.successResultOf(d).drop()
        self.assertEqual(raw.connection.calls, ["stop"])

    def test_read(self) -> None:
        """
        Bodies of other answers are read; of GET if the caller says how much.
        """
        for method, most in ((b"PUT", None), (b"GET", 10)):
            d = self.request(method, most=most)
            self.last.answer(200, b'{"a": 1}')
            response = self.successResultOf(d)
            self.assertEqual(response.json(), {"a": 1})
            response.drop()

    def test_no_json(self) -> None:
        """
        What is no JSON says so.
        """
        for body in (b"<html>", b"", b"[" * 100000, b'{"a": 1, "a": 2}', b"\xff"):
            d = self.request(b"PUT")
            self.last.answer(200, body)
            self.assertRaises(ValueError, self.successResultOf(d).json)

    def test_blanks_before_the_report(self) -> None:
        """
        An answer may take its time while blanks tell that somebody is there.
        """
        d = self.request(b"PUT")
        raw = self.last.answer(201, None)
        for _ in range(10):
            raw.feed(b" ")
            self.clock.advance(29)
        raw.feed(b"[]")
        raw.end()
        self.assertEqual(self.successResultOf(d).json(), [])

    def test_cancelled(self) -> None:
        """
        Who cancels closes the connection, and nothing is tried again.
        """
        d = self.request()
        d.cancel()
        self.failureResultOf(d, CancelledError)
        self.assertTrue(self.last.cancelled)
        self.assertEqual(self.clock.getDelayedCalls(), [])

    def test_no_redirect(self) -> None:
        """
        Nothing follows where a server points.
        """
        d = self.request()
        self.last.answer(302, b"", Location="http://elsewhere/")
        self.assertIn("302", self.unavailable(d))
        self.assertEqual(len(self.agent.asked), 1)

    def test_unexpected(self) -> None:
        """
        A status that nobody expects ends the request at once.
        """
        for code in (204, 400, 403, 409, 412):
            d = self.request()
            self.last.answer(code)
            self.assertIn(str(code), self.unavailable(d))

    def test_expected_trouble(self) -> None:
        """
        What the caller expects is never tried again.
        """
        for code in (404, 409, 413, 422, 503):
            d = self.request(b"DELETE", expect={code})
            self.last.answer(code)
            self.assertEqual(self.successResultOf(d).code, code)

    def test_full(self) -> None:
        """
        No room is no trouble of the network.
        """
        for code in (413, 507):
            d = self.request(b"PUT")
            self.last.answer(code)
            error: Any = self.failureResultOf(d, StoreFull).value
            self.assertEqual(error.store, "main")

    def test_info(self) -> None:
        """
        What a cluster says of itself is asked for without a token.
        """
        d = Deferred.fromCoroutine(self.calls.info())
        self.assertEqual(self.last.url, "http://a/info")
        self.assertIsNone(self.last.header(b"X-Auth-Token"))
        self.last.tell({"swift": {}})
        self.assertEqual(self.successResultOf(d), {"swift": {}})

    def test_no_info(self) -> None:
        """
        A cluster that says nothing of itself is no trouble.
        """
        silent = [(code, b"") for code in (302, 400, 401, 403, 404, 405, 413)]
        for code, body in (*silent, (200, b"x"), (200, b"[]")):
            d = Deferred.fromCoroutine(self.calls.info())
            self.last.answer(code, body)
            self.assertEqual(self.successResultOf(d), {})

    def test_info_refused(self) -> None:
        """
        What was asked for in vain is named in the log.
        """
        d = Deferred.fromCoroutine(self.calls.info())
        with capturedLogs() as events:
            self.last.answer(201)
        self.unavailable(d)
        self.assertEqual([event["target"] for event in events], ["/info"])


class AgainTests(CallsCase):
    """What is tried again"""

    def test_statuses(self) -> None:
        """
        Trouble that may pass is asked for again, by the other proxy, five times.
        """
        for code in (408, 429, 498, 499, 500, 503):
            self.make()
            d = self.request()
            self.each(methodcaller("answer", code))
            self.unavailable(d)
            self.assertEqual(self.hosts(), ["a", "b", "a", "b", "a"])

    def test_unlike(self) -> None:
        """
        What arrives as something else than was sent is sent once more, and only once.
        """
        d = self.request(b"PUT")
        self.each(methodcaller("answer", 422), 2)
        self.unavailable(d)
        self.assertEqual(self.hosts(), ["a", "b"])

    def test_lost(self) -> None:
        """
        So is a request whose connection is lost.
        """
        d = self.request()
        self.last.fail()
        self.clock.advance(10)
        self.last.answer(200)
        self.successResultOf(d)
        self.assertEqual(self.hosts(), ["a", "b"])

    def test_pauses(self) -> None:
        """
        The pauses between tries grow, and are not the same for all who wait.
        """
        for jitter, pauses in (0, (0.125, 0.25, 0.5, 1)), (1, (0.375, 0.75, 1.5, 3)):
            self.make()
            self.calls.jitter = partial(float, jitter)
            self.request().addErrback(lambda _: None)
            for number, pause in enumerate(pauses, 1):
                self.last.answer(503)
                self.clock.advance(pause - 0.01)
                self.assertEqual(len(self.agent.asked), number)
                self.clock.advance(0.01)
                self.assertEqual(len(self.agent.asked), number + 1)

    def test_never_missing(self) -> None:
        """
        503 is never taken for a piece that is not there.
        """
        d = self.request(expect={200, 404})
        self.each(lambda asked: asked.answer(503))
        self.unavailable(d)

    def test_body_breaks(self) -> None:
        """
        An answer that breaks off, stops or never ends is asked for again, if it was
        to be read.
        """
        for trouble in ("break", "stop", "more"):
            self.make()
            d = self.request(b"DELETE", most=10)
            raw = self.last.answer(200, None)
            raw.feed(b"12345")
            if trouble == "break":
                raw.break_off()
            elif trouble == "stop":
                self.clock.advance(30)
            else:
                raw.feed(b"678901")
            self.clock.advance(1)
            self.last.answer(200, b"1234567890")
            self.assertEqual(self.successResultOf(d).body, b"1234567890")

    def test_silence(self) -> None:
        """
        A proxy that says nothing is waited for for 30 seconds.
        """
        d = self.request()
        self.clock.advance(29.9)
        self.assertFalse(self.agent.asked[0].cancelled)
        self.clock.advance(0.1)
        self.assertTrue(self.agent.asked[0].cancelled)
        self.clock.advance(1)
        self.last.answer(200)
        self.successResultOf(d)
        self.assertEqual(self.clock.getDelayedCalls(), [])

    def test_all_silent(self) -> None:
        """
        Proxies that say nothing are waited for once each, or twice if there is one.
        """
        for proxies in (["http://a"], ["http://a", "http://b"]):
            self.make(proxies=proxies)
            d = self.request()
            self.clock.pump([1.0] * 62)
            self.unavailable(d)
            self.assertEqual(len(self.agent.asked), 2)

    def test_third_speaks(self) -> None:
        """
        Silence of some is no reason not to ask the others.
        """
        self.make(proxies=["http://a", "http://b", "http://c"])
        d = self.request()
        self.clock.pump([1.0] * 62)
        self.last.answer(200)
        self.successResultOf(d)
        self.assertEqual(self.hosts(), ["a", "b", "c"])

    def test_logged(self) -> None:
        """
        What was wrong is in the log, with the proxy, and without the token.
        """
        with capturedLogs() as events:
            d = self.request()
            self.each(lambda asked: asked.answer(503, b"token-1"))
        self.unavailable(d)
        texts = "".join(formatEvent(event) + repr(event) for event in events)
        self.assertIn("http://a/v1/AUTH_t: it answered 503", texts)
        self.assertNotIn("token-1", texts)


class MissingTests(CallsCase):
    """404"""

    def test_newest(self) -> None:
        """
        That something is not there is believed only if all replicas were asked.
        """
        for method in (b"GET", b"HEAD"):
            self.make()
            d = self.request(method, expect={200, 404})
            self.last.answer(404)
            self.assertEqual(self.last.header(b"X-Newest"), "true")
            self.last.answer(404)
            self.assertEqual(self.successResultOf(d).code, 404)
            self.assertEqual(len(self.agent.asked), 2)

    def test_found_after_all(self) -> None:
        """
        What a stale replica did not have is found.
        """
        d = self.request(expect={200, 404})
        self.last.answer(404)
        self.last.answer(200)
        self.assertEqual(self.successResultOf(d).code, 200)

    def test_asked_at_once(self) -> None:
        """
        Who asks for the newest is believed the first time.
        """
        d = self.request(expect={404}, newest=True)
        self.assertEqual(self.last.header(b"X-Newest"), "true")
        self.last.answer(404)
        self.successResultOf(d)

    def test_other_methods(self) -> None:
        """
        There is nothing to ask again of what was to be written or removed.
        """
        d = self.request(b"DELETE", expect={404})
        self.last.answer(404)
        self.successResultOf(d)
        self.assertIsNone(self.last.header(b"X-Newest"))


class TokenTests(CallsCase):
    """401"""

    def test_renewed(self) -> None:
        """
        A token that is no longer good is replaced, and the request sent again.
        """
        d = self.request()
        self.last.answer(401)
        self.assertIn("auth.example", self.last.url)
        self.last.give("token-2")
        self.assertEqual(self.last.header(b"X-Auth-Token"), "token-2")
        self.last.answer(200)
        self.successResultOf(d)
        self.assertEqual(self.clock.getDelayedCalls(), [])

    def test_once(self) -> None:
        """
        A cluster that does not accept its own tokens is not asked for ever.
        """
        d = self.request()
        self.last.answer(401)
        self.last.give("token-2")
        self.last.answer(401)
        self.unavailable(d)

    def test_together(self) -> None:
        """
        However many requests met it, one new token is asked for.
        """
        waiting = [self.request() for _ in range(4)]
        for asked in list(self.agent.asked):
            asked.answer(401)
        self.assertEqual(len(self.agent.asked), 5)
        self.last.give("token-2")
        for asked in self.agent.asked[5:]:
            asked.answer(200)
        for d in waiting:
            self.successResultOf(d)

    def test_no_token(self) -> None:
        """
        Without a token nothing is sent.
        """
        d = self.request()
        self.last.answer(401)
        self.last.answer(401)
        self.assertIn("credential", self.unavailable(d))
        self.assertEqual(len(self.agent.asked), 2)
