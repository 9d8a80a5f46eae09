#!/bin/bash
# Makes Airflow ready: the password of its user `admin`, and the tables of its database.
set -euo pipefail
umask 077
python -c '
import json, os
print(json.dumps({"admin": os.environ["AIRFLOW_ADMIN_PASSWORD"]}))
' > "$AIRFLOW__CORE__SIMPLE_AUTH_MANAGER_PASSWORDS_FILE"
exec airflow db migrate
