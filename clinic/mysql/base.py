"""The backend itself, under the name that Django looks for."""

from __future__ import annotations

from typing import Any

from django.db.backends.mysql import base
from MySQLdb import OperationalError

from clinic.mysql.absence import Absence
from clinic.outage import tls_cut_off

UNREACHABLE = 2003
# No answer from there: the socket or host, the name, the handshake.
NO_ANSWER = {2002, UNREACHABLE, 2005, 2006, 2012, 2013, 2055}

_absences: dict[tuple[str, str], Absence] = {}


class DatabaseWrapper(base.DatabaseWrapper):
    def get_new_connection(self, conn_params: dict[str, Any]) -> Any:
        server = (str(conn_params.get("host")), str(conn_params.get("port")))
        absence = _absences.setdefault(server, Absence())
        if not absence.may_ask():
            raise OperationalError(UNREACHABLE, "The database is away")
        try:
            connection = super().get_new_connection(conn_params)
        except OperationalError as error:
            if (error.args[:1] and error.args[0] in NO_ANSWER) or tls_cut_off(error):
                absence.was_away()
            else:
                absence.answered()  # it refuses, so it is there
            raise
        except BaseException:
            absence.answered()
            raise
        absence.answered()
        return connection
