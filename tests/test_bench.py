# Copyright glancetx contributors. See LICENSE for details.

"""
Tests for what the benchmarks make of their figures. Nothing is measured here.
"""

from __future__ import annotations

from pathlib import Path

from twisted.trial.unittest import SynchronousTestCase

try:
    from bench import scene
    from bench.processes import BenchError
    from bench.report import GIB, KIB, MIB, Line, Sample, Target, amount, ratio, table
except ImportError:
    skip = "these tests run without the checkout that has the benchmarks"


class SampleTests(SynchronousTestCase):
    """What one contestant did in one round."""

    def test_figures(self) -> None:
        """
        Throughput and cost are those of a GiB.
        """
        sample = Sample(seconds=4, moved=2 * GIB, cpu=3)
        self.assertEqual(sample.rate, 0.5)
        self.assertEqual(sample.cpu_per_gib, 1.5)


class RatioTests(SynchronousTestCase):
    """Two contestants of the same rounds."""

    def test_medians(self) -> None:
        """
        The ratio is that of the medians; one bad round does not move it.
        """
        line = ratio("name", "{:.1f} u", [2, 100, 3], [4, 6, 0.001])
        self.assertEqual((line.ours, line.peer), ("3.0 u", "4.0 u"))
        self.assertEqual(line.value, 0.75)

    def test_spread(self) -> None:
        """
        The spread is that of neighbours, round by round.
        """
        line = ratio("name", "{}", [1, 2, 3], [2, 2, 2])
        self.assertEqual(line.spread, (0.5, 1.5))

    def test_missing_round(self) -> None:
        """
        Who was not in every round cannot be compared.
        """
        self.assertRaises(ValueError, ratio, "name", "{}", [1, 2], [1])


class TargetTests(SynchronousTestCase):
    """What a figure should be."""

    def test_signs(self) -> None:
        """
        The bound itself is enough, unless the figure must be below it.
        """
        for sign, met in ((">=", [0, 1, 1]), ("<=", [1, 1, 0]), ("<", [1, 0, 0])):
            target = Target(sign, 2)
            found = [target.met(value) for value in (1, 2, 3)]
            self.assertEqual(found, [bool(one) for one in met], sign)

    def test_nothing_to_meet(self) -> None:
        """
        A line without target, or without a value, is neither met nor missed.
        """
        self.assertIsNone(Line("name", "1", value=1).met)
        self.assertIsNone(Line("name", "1", target=Target("<", 2)).met)


class TableTests(SynchronousTestCase):
    """The table at the end."""

    def test_columns(self) -> None:
        """
        Columns stand below each other; what was missed is in capitals.
        """
        lines = [
            ratio("GET", "{:g} u", [2, 4], [4, 4], Target(">=", 0.9)),
            Line("memory", "3 MiB", value=3 * MIB, target=Target("<", 48 * MIB)),
            Line("why", "1 s"),
        ]
        self.assertEqual(
            table(lines).splitlines(),
            [
                "line    ours   peer  ratio  lowest - highest  target    met",
                "------  -----  ----  -----  ----------------  --------  ---",
                "GET     3 u    4 u   0.75   0.50 - 1.00       >= 0.9    NO",
                "memory  3 MiB                                 < 48 MiB  yes",
                "why     1 s",
            ],
        )

    def test_amounts(self) -> None:
        """
        Bytes are shown in the unit in which a person would say them.
        """
        shown = [amount(size) for size in (1536, 64 * KIB, 1.5 * MIB, GIB)]
        self.assertEqual(shown, ["1.5 KiB", "64 KiB", "1.5 MiB", "1 GiB"])

    def test_json(self) -> None:
        """
        In JSON a line also says whether its target is met.
        """
        document = ratio("GET", "{}", [1], [2], Target(">=", 0.9)).as_json()
        self.assertEqual(document["value"], 0.5)
        self.assertIs(document["met"], False)


class PlayTests(SynchronousTestCase):
    """Warm-up and rounds."""

    def test_rounds(self) -> None:
        """
        All run once for nothing, then each of them once in each round.
        """
        self.patch(scene, "tell", lambda text: None)
        runs: list[str] = []

        def contestant(name: str) -> Sample:
            runs.append(name)
            return Sample(1, len(runs))

        names = ["a", "b", "c"]
        found = scene.play({n: lambda n=n: contestant(n) for n in names}, 5)  # type: ignore[misc]
        self.assertEqual(runs[:3], names)
        for number in range(6):
            self.assertEqual(sorted(runs[3 * number : 3 * number + 3]), names)
        for name in names:
            counted = [sample.moved for sample in found[name]]
            ran = [place for place, one in enumerate(runs, 1) if one == name]
            self.assertEqual(counted, ran[1:])

    def test_room(self) -> None:
        """
        A disk without room for it all is not begun to be filled.
        """
        folder = Path(self.mktemp())
        folder.mkdir()
        with self.assertRaisesRegex(BenchError, "--folder"):
            scene.require_room(folder, 2**60)
