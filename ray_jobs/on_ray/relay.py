"""An actor between the workers of a training and its driver: what those tell, and what this one asks for."""

from __future__ import annotations

from typing import Any, NamedTuple

from csrms_dist.basics.words import counted
from csrms_dist.errors import ClusterError, CsrmsError

MAX_STARTS = 3
"""Starts of the workers with no checkpoint between them, after which a training gives up."""

History = list[dict[str, float]]


class Told(NamedTuple):
    """history: epochs that are safe. warnings: sentences, in order. error: what ends the training. starts: how often
    workers have begun."""

    history: History
    warnings: list[str]
    error: CsrmsError | None
    starts: int


class Relay:
    """Carries epochs, warnings and our own errors from the workers to the driver, and wishes to the workers.

    Ray starts workers again for ever, whatever they died of: the relay counts, and says when it is enough.
    """

    def __init__(self, role: str) -> None:
        self._role = role
        self._history: History = []
        self._warnings: list[str] = []
        self._error: CsrmsError | None = None
        self._starts, self._runs = 0, 0
        self._last, self._stalled = "", False
        self._wanted = False

    def starting(self) -> bool:
        """Rank 0 begins; whether it shall."""
        self._starts, self._runs, self._stalled = self._starts + 1, self._runs + 1, False
        if self._error is None and self._starts > MAX_STARTS:
            last = f", the last for '{self._last}'" if self._last else ", for their processes died"
            self._error = ClusterError(
                f"training ({self._role})", got=f"{MAX_STARTS} starts without a checkpoint between them{last}",
                remedy="run the same command again: it resumes; train.checkpoint_minutes writes more of them",
            )  # fmt: skip
        return self._error is None

    def goes_on(self, world: int, epochs: int, batches: int) -> None:
        """Rank 0 has found the checkpoint that it goes on from: so many epochs, and batches of the next."""
        if self._runs > 1:
            where = f"epoch {epochs}" + (f" and {batches:,} batches of the next" if batches else "")
            self._warnings.append(f"{self._role}: started again, with {counted(world, 'worker')}, after {where}")

    def put(self, history: History) -> None:
        """A checkpoint is safe, with these epochs."""
        self._history, self._starts, self._wanted = history, 0, False

    def want(self) -> None:
        """Ask for a checkpoint at once."""
        self._wanted = True

    def wanted(self) -> bool:
        """Whether a checkpoint was asked for and is not there yet."""
        return self._wanted

    def warn(self, sentence: str) -> None:
        if sentence not in self._warnings:
            self._warnings.append(sentence)

    def stalled(self, sentence: str) -> None:
        """A worker found that another does not answer; the first who says so is heard."""
        if not self._stalled:
            self._stalled, self._last = True, sentence
            self._warnings.append(sentence)

    def died(self, said: str) -> None:
        """An error that starting again may cure. One that follows from a stall says less than the stall."""
        if not self._stalled:
            self._last = said

    def fail(self, error: CsrmsError) -> None:
        """An error that would come again."""
        self._error = error

    def get(self) -> Told:
        return Told(self._history, self._warnings, self._error, self._runs)


class Wish:
    """Whether the driver's side wants a checkpoint, asked without waiting for the answer."""

    def __init__(self, ray: Any, relay: Any) -> None:
        self._ray, self._relay = ray, relay
        self._asked: Any = None

    def __call__(self) -> bool:
        """The answer to the question before, and a new question."""
        answer = False
        if self._asked is not None:
            done, _ = self._ray.wait([self._asked], timeout=0)
            if not done:
                return False
            try:
                answer = bool(self._ray.get(self._asked))
            except self._ray.exceptions.RayActorError:
                answer = False  # it is being started again, and has forgotten the wish
        self._asked = self._relay.wanted.remote()
        return answer
