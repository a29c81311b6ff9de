"""Something new on a server, made exactly once though answers get lost."""

import time
from collections.abc import Callable

from unifmir.errors import ZooError
from unifmir.zoo.catalogue import transfer
from unifmir.zoo.catalogue.connection_errors import Interrupted
from unifmir.zoo.publish.submission import Ledger


def create_once(
    ledger: Ledger,
    *,
    look: Callable[[], str],
    create: Callable[[], str],
    unreachable: Callable[[Interrupted], ZooError],
) -> str:
    """Create the record of a submission; where an answer was lost, look for it first.

    Parameters
    ----------
    ledger : Ledger
        Noted as `creating` before the server is asked.
    look : callable
        Identifier of what an earlier request made; empty if it made nothing.
    create : callable
        Asks once, and gives the identifier.
    unreachable : callable
        Error of a server that cannot be had.

    Returns
    -------
    str
        The identifier, not noted yet.

    Raises
    ------
    ZooError
        The server refuses, or cannot be had.
    """
    interruption = Interrupted("it was never asked")
    for number in range(transfer.ATTEMPTS):
        if ledger.now.state == "creating" and (found := look()):
            return found
        ledger.note(state="creating")
        try:
            return create()
        except Interrupted as error:
            interruption = error
            time.sleep(transfer.BACKOFF_S * 2**number)
        except ZooError:
            ledger.note(state="planned")  # refused: there is none
            raise
    raise unreachable(interruption)
