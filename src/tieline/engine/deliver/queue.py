"""The line of deliveries in memory: those of different records side by side, those of one record one after the other.

It knows neither the store nor the destination; `engine.deliver.sender` takes chunks from it, and says what became of them.
"""

from __future__ import annotations

from collections import defaultdict, deque
from collections.abc import Callable, Collection, Iterable, Sequence

from tieline.store.delivery import Delivery


class Line:
    """What is to be sent next. `open` counts what has been put and is neither done nor left."""

    def __init__(self, batch_size: Callable[[str], int]) -> None:
        """`batch_size` says how many of an operation go in one call."""
        self._batch_size = batch_size
        self._ready: defaultdict[str, deque[Delivery]] = defaultdict(deque)
        self._groups: deque[list[Delivery]] = deque()
        self._behind: dict[str, tuple[Delivery, ...]] = {}
        """By source id of a record that is under way: the deliveries that wait behind."""
        self._expected: set[str] = set()
        self._left: set[str] = set()
        """Source ids of which something stays owed: what comes later must not overtake it."""
        self.open = 0

    def __contains__(self, source_id: str) -> bool:
        return source_id in self._behind

    def expect(self, source_ids: Collection[str]) -> None:
        """Know of records of which something is on its way that another delivery follows: it is put once it is durable."""
        self._expected.update(source_ids)

    def followed(self, source_ids: Sequence[str]) -> list[str]:
        """Return the records of which a later version waits behind the one that is under way, or will."""
        behind, expected = self._behind, self._expected
        return [source_id for source_id in source_ids if behind.get(source_id) or source_id in expected]

    def put(self, deliveries: Sequence[Delivery], now: float) -> tuple[list[Delivery], list[Delivery]]:
        """Take deliveries in, in order. `now` is in seconds since 1970 (UTC).

        Return those that may not go, because an earlier one of their record stays owed, and those that are not due yet: they hold their
        record's place, and are ready when `again` is called with them.
        """
        behind, ready = self._behind, self._ready
        left: list[Delivery] = []
        early: list[Delivery] = []
        if self._expected:
            self._expected.difference_update(delivery.source_id for delivery in deliveries)
        for delivery in deliveries:
            source_id = delivery.source_id
            if source_id in behind:
                behind[source_id] = (*behind[source_id], delivery)
            elif source_id in self._left:
                left.append(delivery)
            else:
                behind[source_id] = ()
                if delivery.due_at > now:
                    early.append(delivery)
                else:
                    ready[delivery.operation].append(delivery)
        self.open += len(deliveries)
        return left, early

    def turn_away(self, deliveries: Sequence[Delivery]) -> None:
        """Count deliveries that there is no room for: `leave` is called with them next."""
        self.open += len(deliveries)

    def again(self, delivery: Delivery) -> None:
        """Put one that is under way back to the front."""
        self._ready[delivery.operation].appendleft(delivery)

    def put_back(self, group: Sequence[Delivery]) -> None:
        """Put a group back to the front that could not even be tried."""
        self._groups.appendleft(list(group))

    def halve(self, group: Sequence[Delivery]) -> None:
        """Send the two halves of a group one by one."""
        middle = len(group) // 2
        self._groups.extend([list(group[:middle]), list(group[middle:])])

    def chunks(self, *, partial: bool) -> int:
        """Return how many calls could leave now; with `partial`, part-filled batches too."""
        chunks = len(self._groups)
        for operation, queue in self._ready.items():
            if queue:
                size = self._batch_size(operation)
                chunks += len(queue) // size + (1 if partial and len(queue) % size else 0)
        return chunks

    def next_chunk(self, *, partial: bool) -> list[Delivery] | None:
        """Return what goes into the next call; None when there is nothing to send yet."""
        if self._groups:
            return self._groups.popleft()
        for operation, queue in self._ready.items():
            if not queue:
                continue
            size = self._batch_size(operation)
            if len(queue) < size and not partial:
                continue
            return [queue.popleft() for _ in range(min(size, len(queue)))]
        return None

    def all_ready(self) -> list[Delivery]:
        """Take out everything that is ready."""
        chunk = [delivery for group in self._groups for delivery in group]
        self._groups.clear()
        for queue in self._ready.values():
            chunk += queue
            queue.clear()
        return chunk

    def done(self, deliveries: Iterable[Delivery]) -> None:
        """Settle deliveries; the next of each record moves up, and knows the counterpart that this one made."""
        for delivery in deliveries:
            waiting = self._behind.pop(delivery.source_id, ())
            if waiting:
                following, self._behind[delivery.source_id] = waiting[0], waiting[1:]
                if following.target_id is None:
                    following.target_id = delivery.target_id
                self._ready[following.operation].append(following)
            self.open -= 1

    def waiting_behind(self, delivery: Delivery) -> tuple[Delivery, ...]:
        """Return the deliveries that wait behind one."""
        return self._behind.get(delivery.source_id, ())

    def leave(self, deliveries: Sequence[Delivery], *, remember: bool) -> list[Delivery]:
        """Take deliveries out that stay owed; return those behind them, which stay owed too.

        With `remember`, later deliveries of their records are not let past either.
        """
        if remember:
            self._left.update(delivery.source_id for delivery in deliveries)
        behind = [following for delivery in deliveries for following in self._behind.pop(delivery.source_id, ())]
        self.open -= len(deliveries)
        return behind
