"""The quota of one key: when the next request may leave.

TalkPilot limits the requests of a key twice: in the last minute and in the last hour. A client that
keeps both limits in *any* 60 and in *any* 3,600 seconds is never refused, under fixed windows and
under sliding ones (docs.talkpilot.io, guides/rate-limiting).

A client acquires a *permit* from :class:`Quota` before each request. The request is *in flight*
until the client gives the permit back with ``record_response``, ``record_failure`` or
``record_refusal``. The :class:`~.limits.Minute` and the :class:`~.limits.Hour` each tell Quota how
long the request must wait; the longer wait counts. Both look at the same requests:

- :class:`~.traffic.Traffic` has the requests in flight, and those of the other processes. Each
  process writes the number of its requests to the *ledger*, in *slots* of ten seconds.
- A :class:`~.traffic.Window` has the requests of this process in the last minute or hour. It counts
  a request from the moment its response came. When the request is as old as the window is long, it
  *leaves* the window, and makes room for another one.

Some more words: a *ceiling* is a limit that the user set, below the key's. The *share* is the part
of the minute that the user leaves to this connection. A *portion* is the part of the minute that
one process uses beside the others of the connection.
"""

from airflow_provider_talkpilot.api.quota.quota import Clock, Quota
from airflow_provider_talkpilot.api.quota.traffic import Ledger, LedgerEntry, Permit

__all__ = ["Clock", "Ledger", "LedgerEntry", "Permit", "Quota"]
