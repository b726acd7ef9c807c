# Copyright glancetx contributors. See LICENSE for details.

"""
How a piece treats those who read it.
"""

from __future__ import annotations

from twisted.internet.defer import CancelledError, Deferred, gatherResults

from glancetx.errors import ReaderGone
from glancetx.interfaces import IPiece
from glancetx.testing.consumers import RecordingConsumer

from .hooks import MIB, Hooks, bytes_of

__all__ = ["SURPLUS", "ProducingTests"]

SURPLUS = MIB
"""How many bytes may still come after a consumer paused."""

DATA = bytes_of(3 * MIB + 11)


class ProducingTests(Hooks):
    """``IPiece.produce`` as a producer"""

    async def test_manners(self) -> None:
        """
        A reader has one push producer, once, and is not finished by it.
        """
        consumer = RecordingConsumer()
        await (await self._piece()).produce(consumer, 0, len(DATA))
        self.check_manners(consumer)
        self.check_sources()

    async def test_manners_without_bytes(self) -> None:
        """
        The reader of an empty range, too, has one producer, once.
        """
        consumer = RecordingConsumer()
        await (await self._piece()).produce(consumer, 7, 7)
        self.check_manners(consumer)
        self.assertEqual(consumer.received, b"")

    async def test_one_after_the_other(self) -> None:
        """
        A consumer may read the next piece when the first has fired.
        """
        piece = await self._piece()
        consumer = RecordingConsumer()
        await piece.produce(consumer, 0, 1000)
        await piece.produce(consumer, 1000, MIB)
        self.assertEqual(consumer.received, DATA[:MIB])
        self.assertEqual((consumer.registered, consumer.broken), ([True, True], []))

    async def test_fires_last(self) -> None:
        """
        The result does not fire while the consumer has not taken the last byte.
        """
        consumer = RecordingConsumer(RecordingConsumer.pause)
        piece = await self._piece()
        done = piece.produce(consumer, 0, len(DATA))
        while len(consumer.received) < len(DATA):
            self.assertFalse(done.called)
            more = consumer.reached(len(consumer.received) + 1)
            consumer.resume()
            await more
        consumer.resume()
        await done
        self.check_manners(consumer)

    async def test_paused_before_the_first_byte(self) -> None:
        """
        A reader that pauses as it gets its producer is sent nothing until it resumes.
        """
        piece = await self._piece()
        consumer = RecordingConsumer(on_register=RecordingConsumer.pause)
        done = piece.produce(consumer, 0, len(DATA))
        await self._others_read(piece)
        self.assertEqual((consumer.writes, done.called), ([], False))
        consumer.resume()
        await self._check_whole(consumer, done)

    async def test_slow(self) -> None:
        """
        A reader that pauses after each write gets everything, in order.
        """
        consumer = RecordingConsumer(self.a_turn_later)
        done = (await self._piece()).produce(consumer, 0, len(DATA))
        await self._check_whole(consumer, done)
        self.assertLessEqual(consumer.surplus, SURPLUS)

    async def test_pause(self) -> None:
        """
        After a pause few bytes come, however long it lasts.
        """
        piece = await self._piece()
        consumer = RecordingConsumer(RecordingConsumer.pause)
        done = piece.produce(consumer, 0, len(DATA))
        await consumer.reached(1)
        await self._others_read(piece)
        self.assertLessEqual(consumer.surplus, SURPLUS)
        self.assertFalse(done.called)
        self._never_pause_again(consumer)
        await self._check_whole(consumer, done)

    async def test_pause_is_no_counter(self) -> None:
        """
        One resume ends any number of pauses.
        """
        piece = await self._piece()
        consumer = RecordingConsumer(on_register=self._pause_thrice)
        done = piece.produce(consumer, 0, len(DATA))
        await self._others_read(piece)
        self.assertEqual((consumer.writes, done.called), ([], False))
        consumer.resume()
        await self._check_whole(consumer, done)

    async def test_resume_without_pause(self) -> None:
        """
        Resuming a producer that is not paused changes nothing.
        """
        consumer = RecordingConsumer(RecordingConsumer.resume, RecordingConsumer.resume)
        done = (await self._piece()).produce(consumer, 0, len(DATA))
        await self._check_whole(consumer, done)

    async def test_pause_and_resume_at_once(self) -> None:
        """
        A reader may pause and resume within one write.
        """

        def blink(consumer: RecordingConsumer) -> None:
            consumer.pause()
            consumer.resume()

        consumer = RecordingConsumer(blink, blink)
        done = (await self._piece()).produce(consumer, 0, len(DATA))
        await self._check_whole(consumer, done)

    async def test_others_go_on(self) -> None:
        """
        A reader that has paused does not hold up the others of the same piece.
        """
        piece = await self._piece()
        slow = [RecordingConsumer(RecordingConsumer.pause) for _ in range(8)]
        done = [piece.produce(consumer, 0, len(DATA)) for consumer in slow]
        await self._others_read(piece)
        for consumer in slow:
            self._never_pause_again(consumer)
        await gatherResults(done)
        for consumer, result in zip(slow, done, strict=True):
            await self._check_whole(consumer, result)

    async def test_leaves_at_the_beginning(self) -> None:
        """
        A reader that leaves as it gets its producer is sent nothing.
        """
        piece = await self._piece()
        consumer = RecordingConsumer(on_register=RecordingConsumer.leave)
        await self._check_gone(consumer, piece.produce(consumer, 0, len(DATA)))
        self.assertEqual(consumer.writes, [])

    async def test_leaves_in_a_write(self) -> None:
        """
        A reader that leaves while it is written to is sent no more.
        """
        piece = await self._piece()
        consumer = RecordingConsumer(RecordingConsumer.leave)
        done = piece.produce(consumer, 0, len(DATA))
        await self._check_gone(consumer, done)
        await self._others_read(piece)
        self.assertEqual(len(consumer.writes), 1)

    async def test_leaves_while_paused(self) -> None:
        """
        A reader that leaves while it is paused is not waited for.
        """
        piece = await self._piece()
        consumer = RecordingConsumer(RecordingConsumer.pause)
        done = piece.produce(consumer, 0, len(DATA))
        await consumer.reached(1)
        consumer.leave()
        await self._check_gone(consumer, done)

    async def test_leaves_before_the_first_byte(self) -> None:
        """
        A reader that leaves before anything came is told from one that has it all.
        """
        piece = await self._piece()
        consumer = RecordingConsumer(on_register=RecordingConsumer.pause)
        done = piece.produce(consumer, 0, len(DATA))
        await self._others_read(piece)
        consumer.leave()
        await self._check_gone(consumer, done)
        self.assertEqual(consumer.writes, [])

    async def test_leaving_alone(self) -> None:
        """
        When one reader leaves, another of the same piece still gets everything.
        """
        piece = await self._piece()
        stays = RecordingConsumer(self.a_turn_later)
        leaves = RecordingConsumer(RecordingConsumer.leave)
        done = piece.produce(stays, 0, len(DATA))
        await self._check_gone(leaves, piece.produce(leaves, 0, len(DATA)))
        await self._check_whole(stays, done)

    async def test_cancel_before_the_first_byte(self) -> None:
        """
        Cancelling a read that has not begun unregisters it and writes nothing.
        """
        piece = await self._piece()
        consumer = RecordingConsumer(on_register=RecordingConsumer.pause)
        await self._check_cancel(consumer, piece.produce(consumer, 0, len(DATA)))
        await self._others_read(piece)
        self.assertEqual(consumer.writes, [])

    async def test_cancel_in_the_middle(self) -> None:
        """
        Cancelling a read closes its source; the consumer may read something else.
        """
        piece = await self._piece()
        consumer = RecordingConsumer(RecordingConsumer.pause)
        done = piece.produce(consumer, 0, len(DATA))
        await consumer.reached(1)
        await self._check_cancel(consumer, done)
        had = len(consumer.received)
        consumer.resume()
        self._never_pause_again(consumer)
        await piece.produce(consumer, 0, 1000)
        self.assertEqual(bytes(consumer.received[had:]), DATA[:1000])

    async def test_cancel_alone(self) -> None:
        """
        When one read is cancelled, another of the same piece still gets everything.
        """
        piece = await self._piece()
        stays = RecordingConsumer(self.a_turn_later)
        done = piece.produce(stays, 0, len(DATA))
        consumer = RecordingConsumer(RecordingConsumer.pause)
        cancelled = piece.produce(consumer, 0, len(DATA))
        await consumer.reached(1)
        cancelled.cancel()
        await self.check_fails(cancelled, CancelledError)
        await self._check_whole(stays, done)

    async def _piece(self) -> IPiece:
        store = await self.open_store()
        return await store.piece(await self.keep(store, DATA), len(DATA))

    async def _others_read(self, piece: IPiece) -> None:
        """Give the backend time for more than one reader gets: two read it whole."""
        for _ in range(2):
            self.assertTrue(await self.read(piece) == DATA)

    async def _check_whole(
        self, consumer: RecordingConsumer, done: Deferred[None]
    ) -> None:
        await done
        self.assertTrue(consumer.received == DATA, "not the piece's bytes")
        self.check_manners(consumer)
        self.check_sources()

    async def _check_gone(
        self, consumer: RecordingConsumer, done: Deferred[None]
    ) -> None:
        await self.check_fails(done, ReaderGone)
        self.check_manners(consumer)

    async def _check_cancel(
        self, consumer: RecordingConsumer, done: Deferred[None]
    ) -> None:
        done.cancel()
        await self.check_fails(done, CancelledError)
        self.check_manners(consumer)
        self.check_sources()

    @staticmethod
    def _pause_thrice(consumer: RecordingConsumer) -> None:
        for _ in range(3):
            consumer.pause()

    @staticmethod
    def _never_pause_again(consumer: RecordingConsumer) -> None:
        consumer.on_write = None
        consumer.resume()
