"""The queue of waiting jobs: sessions take turns, each with its oldest job."""

from collections import OrderedDict, deque


class FairQueue:
    """Jobs that wait, by session. Who gives a hundred jobs waits for nobody longer than others."""

    def __init__(self) -> None:
        self._sessions: OrderedDict[str, deque[str]] = OrderedDict()

    def __len__(self) -> int:
        return sum(map(len, self._sessions.values()))

    def add(self, session: str, job: str) -> None:
        """Put a job behind the session's others; a session that had none comes last in turn."""
        self._sessions.setdefault(session, deque()).append(job)

    def take(self) -> str | None:
        """The next job, which waits no more; None if none does. Its session comes last then."""
        if not self._sessions:
            return None
        session, jobs = self._sessions.popitem(last=False)
        job = jobs.popleft()
        if jobs:
            self._sessions[session] = jobs
        return job

    def remove(self, job: str) -> bool:
        """Take a job out; whether it was waiting."""
        for session, jobs in self._sessions.items():
            if job in jobs:
                jobs.remove(job)
                if not jobs:
                    del self._sessions[session]
                return True
        return False

    def place(self, job: str) -> int | None:
        """Number of jobs that are taken before this one; None if it does not wait."""
        for turn, jobs in enumerate(self._sessions.values()):
            if job in jobs:
                before = jobs.index(job)
                # In each round before its own every session that still has a job gives one.
                return sum(
                    min(len(other), before + (position < turn))
                    for position, other in enumerate(self._sessions.values())
                )
        return None
