#!/usr/bin/env bash
# Run pytest with our code before the image's own: run.sh TESTS…
# What tests the embedded PostgreSQL itself is left out: the databases are containers here.
set -euo pipefail

export PYTHONPATH="${PYTHONPATH_OF_OURS}${PYTHONPATH:+:$PYTHONPATH}"
exec python3 -m pytest --no-cov -p no:cacheprovider --ignore=tests/integration/test_embedded_postgres.py "$@"
