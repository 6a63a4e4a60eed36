#!/bin/bash
# The three users besides root. MySQL's image runs this once, when its data folder is empty;
# `deploy/stack secrets rotate` runs it again with new passwords. Passwords come from files, or from
# USERS_FOLDER, never from arguments.
#
# clinic          pages, chat, worker: no rights here; `manage.py database_grants` gives them table by
#                 table, so that the audit trail can only be added to
# clinic_migrate  changes tables and grants rights
# clinic_backup   reads everything for backups, and the binary log
set -euo pipefail

folder="${USERS_FOLDER:-/run/secrets}"

quoted() {  # the password in a file, as an SQL text
  local value
  value="$(cat "$folder/$1")"
  value="${value//\\/\\\\}"
  printf "'%s'" "${value//\'/\'\'}"
}

statements() {
  local name
  for name in clinic:mysql_app_password clinic_migrate:mysql_migrate_password clinic_backup:mysql_backup_password; do
    [ -r "$folder/${name#*:}" ] || continue
    # The earlier password goes on working until `ALTER USER … DISCARD OLD PASSWORD`.
    echo "CREATE USER IF NOT EXISTS '${name%%:*}'@'%' IDENTIFIED BY $(quoted "${name#*:}") REQUIRE SSL;"
    if [ -n "${ROTATING:-}" ]; then
      echo "ALTER USER '${name%%:*}'@'%' IDENTIFIED BY $(quoted "${name#*:}") RETAIN CURRENT PASSWORD;"
    fi
  done
  echo "GRANT ALL ON \`clinic\`.* TO 'clinic_migrate'@'%' WITH GRANT OPTION;"
  # What replaying the binary log after a restore takes, and a second database for restore drills.
  echo "GRANT REPLICATION_APPLIER, SESSION_VARIABLES_ADMIN ON *.* TO 'clinic_migrate'@'%';"
  echo "GRANT ALL ON \`clinic\_drill\`.* TO 'clinic_migrate'@'%' WITH GRANT OPTION;"
  echo "GRANT SELECT, SHOW VIEW, TRIGGER, EVENT, LOCK TABLES, PROCESS, RELOAD, FLUSH_TABLES, REPLICATION CLIENT, REPLICATION SLAVE ON *.* TO 'clinic_backup'@'%';"
}

root_options() {
  printf '[client]\nuser=root\nsocket=/var/run/mysqld/mysqld.sock\npassword="%s"\n' \
    "$(sed 's/[\\"]/\\&/g' "$folder/mysql_root_password")"
}

# A here-string and a process substitution: neither shows in the list of processes.
mysql --defaults-extra-file=<(root_options) --protocol=socket <<<"$(statements)"
