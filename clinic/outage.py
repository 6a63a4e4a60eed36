"""Telling a database or store of files that is away, or too busy just now, from our own errors."""

from __future__ import annotations

from django.db import InterfaceError, OperationalError, ProgrammingError

RETRY_AFTER_SECONDS = 5

# https://mariadb.com/kb/en/mariadb-error-codes/ and MySQL's client errors.
AWAY = {
    1040,  # too many connections
    1044,  # no right to the database: a new server, into which a backup is being restored
    1049,  # no such database: the same
    1053,  # server shutdown in progress
    1077,  # normal shutdown
    1079,  # shutdown complete
    1129,  # host blocked after many connection errors
    1203,  # too many connections of this user
    1290,  # running with --read-only
    1836,  # read-only mode
    1927,  # connection was killed
    2002,  # cannot connect through the socket
    2003,  # cannot connect to the host
    2005,  # unknown host: the service's name is gone
    2006,  # server has gone away
    2012,  # error in the handshake
    2013,  # lost connection during the query
    2055,  # lost connection, with a system error
}
TLS = 2026  # whatever goes wrong with it
NO_TABLE = 1146  # a restore that is halfway
BUSY = {
    1020,  # record has changed since last read
    1205,  # lock wait timeout
    1213,  # deadlock
}


def tls_cut_off(error: BaseException) -> bool:
    """A connection with TLS that ended under us. It has the same number as a certificate that is
    not the server's, which no second try would change."""
    return error.args[:1] == (TLS,) and "certificate" not in str(error.args[1:]).lower()


class StoreAway(OSError):
    """The store of files could not be asked, or did not do what it was asked for."""


def is_outage(error: BaseException | None) -> bool:
    """Whether trying again in some seconds may simply work."""
    if isinstance(error, StoreAway):
        return True
    if isinstance(error, InterfaceError):
        return error.args[:1] == (0,) or "closed" in str(error)  # closed under us
    if isinstance(error, ProgrammingError):
        return error.args[:1] == (NO_TABLE,)
    if not isinstance(error, OperationalError) or not error.args:
        return False
    code = error.args[0]
    if isinstance(code, int):
        return code in AWAY | BUSY or tls_cut_off(error)
    text = str(code).lower()
    return "locked" in text or "unable to open database file" in text
