"""Write a .env with fresh secrets for docker compose; needs nothing but Python."""

from __future__ import annotations

import base64
import os
import secrets
import sys
from pathlib import Path


def main(path: Path) -> int:
    """Write the file, for its owner's eyes only; one that exists is left alone.

    Args:
        path: where to.

    Returns:
        The exit code: 1 when the file exists.
    """
    values = {
        "COMPOSE_PROFILES": "core",
        "MINIO_ACCESS_KEY": f"battery-{secrets.token_hex(4)}",
        "MINIO_SECRET_KEY": secrets.token_hex(24),
        "POSTGRES_PASSWORD": secrets.token_hex(24),
        "WAREHOUSE_PASSWORD": secrets.token_hex(24),
        "AIRFLOW_FERNET_KEY": base64.urlsafe_b64encode(os.urandom(32)).decode(),
        "AIRFLOW_JWT_SECRET": secrets.token_hex(32),
        "AIRFLOW_ADMIN_PASSWORD": secrets.token_urlsafe(16),
        "GRAFANA_ADMIN_PASSWORD": secrets.token_urlsafe(16),
        "GATEWAY_TOKEN": secrets.token_hex(24),
    }
    lines = ["# Secrets for docker compose. .env.example lists what else may stand here.\n"]
    lines += [f"{name}={value}\n" for name, value in values.items()]
    try:
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    except FileExistsError:
        print(f"{path} exists and is left as it is", file=sys.stderr)  # noqa: T201
        return 1
    with os.fdopen(descriptor, "w") as file:
        file.writelines(lines)
    print(f"wrote {path}")  # noqa: T201
    return 0


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1])))
