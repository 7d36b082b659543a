"""The ledger: one small actor that knows which images are between encoder and disk."""

import asyncio
import time


class Ledger:
    """Counts what is written, and bounds how many images are encoded but not yet written."""

    def __init__(self, in_flight: int) -> None:
        self.in_flight, self.open, self.written = in_flight, set[str](), set[str]()
        self.images = self.questions = self.errors = 0
        self.first = self.last = 0.0
        self.room = asyncio.Condition()
        self.spared = dict[str, float]()  # actors that were ended as they hung: until when nobody else may end them

    async def begin(self, image_id: str) -> None:
        """Waits until one more image may be encoded. One that begins again (its encoder died) already has its place.
        One that was written and is done again (a node was lost) needs none: nobody would give it back."""
        async with self.room:
            if image_id in self.written:
                return
            await self.room.wait_for(lambda: image_id in self.open or len(self.open) < self.in_flight)
            self.first = self.first or time.monotonic()
            self.open.add(image_id)

    async def done(self, image_id: str, questions: int, errors: int) -> None:
        """Notes that an image's answers are on the disk; once, even if the write is repeated."""
        async with self.room:
            if image_id not in self.written:
                self.open.discard(image_id)
                self.written.add(image_id)
                self.images += 1
                self.questions += questions
                self.errors += errors
                self.last = time.monotonic()
            self.room.notify_all()

    async def forget(self) -> None:
        """Frees every place: the graph that held them ended, and starts again with its images in any order."""
        async with self.room:
            self.open.clear()
            self.room.notify_all()

    async def may_end(self, name: str, open_s: float) -> bool:
        """Whether who asks may end an actor that hangs; nobody else may for `open_s`, in which it opens anew."""
        if time.monotonic() < self.spared.get(name, 0.0):
            return False
        self.spared[name] = time.monotonic() + open_s
        return True

    async def begun_again(self, name: str, hang_s: float) -> None:
        """An actor that was ended is there again, and has `hang_s` to answer somebody."""
        self.spared[name] = time.monotonic() + hang_s

    async def counts(self) -> tuple[int, int, int]:
        """Images, questions and error rows written by this attempt."""
        return self.images, self.questions, self.errors

    async def seconds(self) -> float:
        """From the first image that was begun to the last that was written."""
        return self.last - self.first
