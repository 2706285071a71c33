"""A bounded model of the submit protocol (docs/submit-protocol.md): every order of events, up to a few faults.

One wish, two workers, a reconciler, a broker that may lose or double a ring, and an upstream that may apply a request
late or never and whose answer may get lost. Time goes in ticks: a call takes one at most, a request may be applied two
ticks later. Who changes the protocol changes this model first.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass
from typing import NamedTuple

CALL, LATE, LEASE, END = 1, 2, 2, 8
NEVER = 99


@dataclass(frozen=True)
class Protocol:
    """Which of its parts a design has; the one as built has them all."""

    commits_intent: bool = True
    claims_conditionally: bool = True
    looks: bool = True
    settles: bool = True
    holds_lock: bool = True
    restarts_clock: bool = True
    sweeps: bool = True
    sends_again: bool = True


class Faults(NamedTuple):
    """How many of each may still happen."""

    crashes: int = 2
    pauses: int = 1
    lost_rings: int = 1
    late_requests: int = 1
    dropped_requests: int = 1
    doubled_rings: int = 1


class Worker(NamedTuple):
    """`at`: claimed, looked, intent, posted, made (has the answer), unsure. `until`: lease or deadline."""

    at: str
    fence: int
    until: int


class Request(NamedTuple):
    sent: int
    worker: int


GONE_WORKER = 9


class World(NamedTuple):
    now: int
    submission: str
    fence: int
    lease: int
    sent: int
    rings: int
    workers: tuple[Worker | None, Worker | None]
    flying: tuple[Request, ...]
    made: int
    faults: Faults

    def with_worker(self, number: int, worker: Worker | None, **changes: object) -> World:
        workers = (worker, self.workers[1]) if number == 0 else (self.workers[0], worker)
        return self._replace(workers=workers, **changes)  # type: ignore[arg-type]

    def spend(self, fault: str) -> World:
        return self._replace(faults=self.faults._replace(**{fault: getattr(self.faults, fault) - 1}))

    @property
    def is_sending(self) -> bool:
        """A living process is between its intent and the end of its call: it holds the lock."""
        return any(worker is not None and worker.at in {"intent", "posted"} for worker in self.workers)

    @property
    def is_quiet(self) -> bool:
        return not self.rings and self.workers == (None, None) and not self.flying


Step = tuple[str, World]
Path = tuple[str, ...]


class Model:
    def __init__(self, protocol: Protocol, faults: Faults = Faults()) -> None:  # noqa: B008 — immutable
        self.protocol = protocol
        self.start = World(0, "pending", 0, -1, -1, 1, (None, None), (), 0, faults)

    def explore(self, *wanted: str) -> dict[str, Path]:
        """The shortest way to each kind of violation; nothing = there is none within these bounds.

        With `wanted` it ends as soon as it has found these.
        """
        came_from: dict[World, tuple[World, str] | None] = {self.start: None}
        violations: dict[str, Path] = {}
        waiting = deque([self.start])
        while waiting:
            world = waiting.popleft()
            for violation in self._violations(world):
                violations.setdefault(violation, _path(came_from, world))
            if wanted and set(wanted) <= set(violations):
                break
            if world.made >= 2:
                continue
            for step, after in self._steps(world):
                if after.rings <= 2 and after.fence <= 9 and after not in came_from:
                    came_from[after] = (world, step)
                    waiting.append(after)
        self.states = len(came_from)
        return violations

    def _violations(self, world: World) -> Iterator[str]:
        if world.made >= 2:
            yield "doubled"
        if world.now < END or not world.is_quiet:
            return
        is_stuck = not self.protocol.sweeps and world.submission in {"pending", "sending"}
        is_stuck |= not self.protocol.looks and world.submission in {"sending", "uncertain"}
        if is_stuck:
            yield "lost" if world.made == 0 else "unrecorded"
        if world.submission == "accepted" and world.made == 0:
            yield "invented"

    def _steps(self, world: World) -> Iterator[Step]:
        yield from self._broker(world)
        for number, worker in enumerate(world.workers):
            if worker is None:
                yield from self._take_ring(world, number)
            else:
                yield from self._crash(world, number, worker)
                yield from getattr(self, f"_when_{worker.at}")(world, number, worker)
        yield from self._upstream(world)
        if self.protocol.sweeps:
            yield from self._reconcile(world)
        yield from self._tick(world)

    # ── Broker and workers ───────────────────────────────────────────────────

    def _broker(self, world: World) -> Iterator[Step]:
        if world.rings and world.faults.doubled_rings:
            yield "the broker doubles a ring", world.spend("doubled_rings")._replace(rings=world.rings + 1)
        if world.rings and world.faults.lost_rings:
            yield "the broker loses a ring", world.spend("lost_rings")._replace(rings=world.rings - 1)

    def _take_ring(self, world: World, number: int) -> Iterator[Step]:
        if not world.rings:
            return
        world = world._replace(rings=world.rings - 1)
        conditionally = self.protocol.claims_conditionally
        if world.submission != "pending" or (conditionally and world.lease >= world.now):
            yield f"worker {number} has nothing to do", world
        elif conditionally:
            fence, until = world.fence + 1, world.now + LEASE
            claimed = world.with_worker(number, Worker("claimed", fence, until), fence=fence, lease=until)
            yield f"worker {number} claims", claimed
        else:
            yield f"worker {number} reads", world.with_worker(number, Worker("claimed", world.fence, NEVER))

    def _crash(self, world: World, number: int, worker: Worker) -> Iterator[Step]:
        if world.faults.crashes:
            # Without a sweep the design trusts a broker that gives the message back.
            rings = world.rings + (0 if self.protocol.sweeps else 1)
            yield (
                f"worker {number} is killed ({worker.at})",
                world.spend("crashes").with_worker(number, None, rings=rings),
            )

    def _when_claimed(self, world: World, number: int, worker: Worker) -> Iterator[Step]:
        if self.protocol.looks and world.made:
            is_mine = world.fence == worker.fence
            adopted = {"submission": "accepted"} if is_mine else {}
            yield f"worker {number} finds it upstream", world.with_worker(number, None, **adopted)
        else:
            yield f"worker {number} sees that it is absent", world.with_worker(number, worker._replace(at="looked"))

    def _when_looked(self, world: World, number: int, worker: Worker) -> Iterator[Step]:
        intent = Worker("intent", worker.fence, world.now)
        if not self.protocol.commits_intent:
            yield f"worker {number} is about to send", world.with_worker(number, intent)
        elif self.protocol.claims_conditionally and (world.fence, world.submission) != (worker.fence, "pending"):
            yield f"worker {number} finds the row changed", world.with_worker(number, None)
        else:
            committed = world.with_worker(number, intent, submission="sending", sent=world.now)
            yield f"worker {number} commits its intent", committed

    def _when_intent(self, world: World, number: int, worker: Worker) -> Iterator[Step]:
        flying = tuple(sorted((*world.flying, Request(world.now, number))))
        posted = Worker("posted", worker.fence, world.now + CALL)
        yield f"worker {number} sends", world.with_worker(number, posted, flying=flying)

    def _when_posted(self, world: World, number: int, worker: Worker) -> Iterator[Step]:
        if world.now >= worker.until:
            left = (Request(r.sent, GONE_WORKER) if r.worker == number else r for r in world.flying)
            unsure = Worker("unsure", worker.fence, 0)
            yield f"worker {number} times out", world.with_worker(number, unsure, flying=tuple(sorted(left)))

    def _when_made(self, world: World, number: int, worker: Worker) -> Iterator[Step]:
        is_mine = world.fence == worker.fence or world.submission == "sending" or not self.protocol.claims_conditionally
        recorded = {"submission": "accepted"} if is_mine else {}
        yield f"worker {number} records", world.with_worker(number, None, **recorded)

    def _when_unsure(self, world: World, number: int, worker: Worker) -> Iterator[Step]:
        rings = world.rings + (0 if self.protocol.commits_intent else 1)
        yield f"worker {number} gives up or asks to be rung again", world.with_worker(number, None, rings=rings)

    # ── Upstream ─────────────────────────────────────────────────────────────

    def _upstream(self, world: World) -> Iterator[Step]:
        for request in world.flying:
            rest = list(world.flying)
            rest.remove(request)
            landed = world._replace(flying=tuple(rest))
            yield from self._apply(landed, request)
            is_lost_for_good = world.now >= request.sent + CALL + LATE
            if is_lost_for_good or world.faults.dropped_requests:
                dropped = landed if is_lost_for_good else landed.spend("dropped_requests")
                yield "a request gets lost", self._answered(dropped, request, "unsure")

    def _apply(self, landed: World, request: Request) -> Iterator[Step]:
        is_late = landed.now > request.sent + CALL
        if landed.now > request.sent + CALL + LATE or (is_late and not landed.faults.late_requests):
            return
        made = (landed.spend("late_requests") if is_late else landed)._replace(made=landed.made + 1)
        yield "upstream makes it", self._answered(made, request, "made")
        if self._waits(made, request):
            yield "upstream makes it, the answer gets lost", self._answered(made, request, "unsure")

    def _waits(self, world: World, request: Request) -> bool:
        worker = world.workers[request.worker] if request.worker != GONE_WORKER else None
        return worker is not None and worker.at == "posted"

    def _answered(self, world: World, request: Request, at: str) -> World:
        if not self._waits(world, request):
            return world
        worker = world.workers[request.worker]
        assert worker is not None
        return world.with_worker(request.worker, Worker(at, worker.fence, 0))

    # ── Reconciler and time ──────────────────────────────────────────────────

    def _reconcile(self, world: World) -> Iterator[Step]:
        is_free = world.lease < world.now
        nobody_works = self.protocol.claims_conditionally or world.workers == (None, None)
        if world.submission == "pending" and not world.rings and is_free and nobody_works:
            yield "the sweep rings", world._replace(rings=1)
        if not is_free or (self.protocol.holds_lock and world.is_sending):
            return
        if self.protocol.restarts_clock and world.submission == "sending":
            # It has the lock, so the sender is dead, but what it sent may only now be on its way.
            restarted = world._replace(submission="uncertain", sent=world.now, fence=world.fence + 1)
            yield "the reconciler gets the lock", restarted
        unsettled = "uncertain" if self.protocol.restarts_clock else "sending"
        if self.protocol.looks and world.submission == unsettled and world.sent >= 0:
            yield from self._settle(world._replace(fence=world.fence + 1))

    def _settle(self, world: World) -> Iterator[Step]:
        if world.made:
            yield "the reconciler adopts it", world._replace(submission="accepted")
        elif not self.protocol.settles or world.now > world.sent + CALL + LATE:
            if self.protocol.sends_again:
                yield "absent: to be sent again", world._replace(submission="pending", lease=-1)
            else:
                yield "absent: a person decides", world._replace(submission="needs_attention")

    def _tick(self, world: World) -> Iterator[Step]:
        """Time passes only where nobody is in the middle of a step that takes none."""
        if world.now >= END or any(world.now >= request.sent + CALL + LATE for request in world.flying):
            return
        frozen = 0
        for worker in world.workers:
            if worker is None:
                continue
            if worker.at in {"made", "unsure"} or (worker.at == "posted" and world.now >= worker.until):
                return
            # Nothing stands between intent and send; only a process that is frozen right there lets time pass.
            frozen += worker.at == "intent" and worker.until == world.now
        if frozen > world.faults.pauses:
            return
        faults = world.faults._replace(pauses=world.faults.pauses - frozen)
        yield "tick", world._replace(now=world.now + 1, faults=faults)


def _path(came_from: dict[World, tuple[World, str] | None], world: World) -> Path:
    steps: list[str] = []
    while (before := came_from[world]) is not None:
        world, step = before
        steps.append(step)
    return tuple(reversed(steps))
