#!/bin/bash
# Makes Airflow ready: the password of its user `admin`, the tables of its database, and the pool of its tasks.
set -euo pipefail
umask 077
python -c '
import json, os
print(json.dumps({"admin": os.environ["AIRFLOW_ADMIN_PASSWORD"]}))
' > "$AIRFLOW__CORE__SIMPLE_AUTH_MANAGER_PASSWORDS_FILE"
airflow db migrate
exec airflow pools set battery_warehouse 1 "The warehouse, which one task uses at a time"
