# Copyright glancetx contributors. See LICENSE for details.

"""
Tests for :mod:`glancetx.backends.swift.calls`: which of several proxies is asked.
"""

from __future__ import annotations

from .swift_calls_case import PROXIES, ROOT, CallsCase


class CircuitTests(CallsCase):
    """Proxies that do not answer"""

    def test_both_gone(self) -> None:
        """
        When no proxy answers five tries are made, soon none; later it is tried again.
        """
        d = self.request()
        self.each(lambda asked: asked.fail())
        self.unavailable(d)
        d = self.request()
        self.assertEqual(self.hosts()[5:], ["b"])
        self.last.fail()
        self.clock.advance(1)
        self.assertIn("none", self.unavailable(d))
        self.assertIn("none", self.unavailable(self.request()))
        self.assertEqual(len(self.agent.asked), 6)
        self.clock.advance(15)
        d = self.request()
        self.last.answer(200)
        self.successResultOf(d)

    def test_bad_gateway(self) -> None:
        """
        What a balancer says of dead proxies counts; their own 503 does not.
        """
        for code, hosts in ((502, 0), (504, 0), (503, 1)):
            self.make(proxies=["http://a"])
            d = self.request()
            for _ in range(5):
                if not self.last.answered.called:
                    self.last.answer(code)
                self.clock.advance(2)
            self.unavailable(d)
            self.agent.asked.clear()
            self.request().addErrback(lambda _: None)
            self.assertEqual(len(self.agent.asked), hosts, code)

    def test_trial(self) -> None:
        """
        A proxy that failed before is waited for for ten seconds only.
        """
        self.make(proxies=["http://a"])
        d = self.request()
        self.each(lambda asked: asked.fail(), 3)
        self.unavailable(d)
        self.clock.advance(15)
        self.request().addErrback(lambda _: None)
        self.clock.advance(10)
        self.assertTrue(self.last.cancelled)

    def test_trial_left(self) -> None:
        """
        A trial that is cancelled makes room for the next.
        """
        self.make(proxies=["http://a"])
        d = self.request()
        self.each(lambda asked: asked.fail(), 3)
        self.unavailable(d)
        self.clock.advance(15)
        d = self.request()
        d.addErrback(lambda _: None)
        d.cancel()
        self.request()
        self.assertEqual(len(self.agent.asked), 5)


class RegionTests(CallsCase):
    """A second region to read from"""

    def setUp(self) -> None:
        super().setUp()
        self.make(read_proxies=["http://far"])

    def fail_here(self) -> None:
        """Let all proxies of this region fail."""
        for _ in PROXIES:
            self.last.answer(503)
            self.clock.advance(1)

    def test_not_first(self) -> None:
        """
        The other region is asked when all proxies of this one failed.
        """
        d = self.request()
        self.fail_here()
        self.last.answer(200)
        self.assertEqual(self.successResultOf(d).proxy, f"http://far{ROOT}")
        self.assertEqual(self.hosts(), ["a", "b", "far"])

    def test_only_for_reading(self) -> None:
        """
        Nothing is written there.
        """
        d = self.request(b"PUT")
        self.each(lambda asked: asked.answer(503))
        self.unavailable(d)
        self.assertNotIn("far", self.hosts())

    def test_never_missing(self) -> None:
        """
        It may lag behind: what it does not have may be there all the same.
        """
        self.request(expect={200, 404})
        self.fail_here()
        self.last.answer(404)
        self.last.answer(404)
        self.clock.advance(1)
        self.assertEqual(self.hosts(), ["a", "b", "far", "far", "a"])

    def test_never_doubted(self) -> None:
        """
        What it says of a token is no reason to get another.
        """
        d = self.request()
        self.fail_here()
        self.last.answer(401)
        self.clock.advance(2)
        self.last.answer(200)
        self.successResultOf(d)
        self.assertEqual(self.hosts(), ["a", "b", "far", "a"])
        self.assertEqual(self.last.header(b"X-Auth-Token"), "token-1")
