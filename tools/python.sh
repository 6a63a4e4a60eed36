#!/bin/sh
# Runs the first Python that is new enough with the arguments given; PYTHON= names one to use.
for name in ${PYTHON:-python3 python3.14 python3.13 python3.12 python3.11 python}; do
  if "$name" -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null; then
    exec "$name" "$@"
  fi
done
echo "Clinic needs Python 3.11 or newer, and found none${PYTHON:+ under the name $PYTHON}. Install one, or name it: make run PYTHON=/path/to/python3" >&2
exit 1
