"""Settings, read from the environment and `.env`; a bad one fails at start and names the variable."""

from __future__ import annotations

import math
import re
from pathlib import Path
from typing import Annotated, Any, Final, Literal

from pydantic import Field, SecretStr, ValidationError, field_validator, model_validator
from pydantic_settings import BaseSettings, SettingsConfigDict

from kernel.base.errors import BatteryError
from kernel.base.warehouse_address import WarehouseAddress, parse_warehouse

GROUPS_PER_PROCESS: Final = 16
"""Groups of cells for each process of a cluster, where CELL_GROUPS is 0. A hash assigns groups to processes: the more
there are, the more even the shares, and the fewer messages are cleaned at a time."""

MOST_LANES: Final = 64
MOST_GROUPS: Final = 4096


class Settings(BaseSettings):
    """All settings of the pipeline; `.env.example` lists them with comments."""

    model_config = SettingsConfigDict(env_file=".env", extra="ignore", frozen=True, hide_input_in_errors=True)

    kafka_bootstrap_servers: str = "127.0.0.1:9092"
    kafka_security_protocol: Literal["PLAINTEXT", "SSL", "SASL_PLAINTEXT", "SASL_SSL"] = "PLAINTEXT"
    kafka_sasl_mechanism: str | None = None
    kafka_sasl_username: str | None = None
    kafka_sasl_password: SecretStr | None = None
    kafka_ssl_ca_location: Path | None = None
    kafka_consumer_group: str = "battery"

    battery_topic: Annotated[str, Field(pattern=r"^[A-Za-z0-9._-]{1,249}$")] = "battery_topic"
    battery_topic_partitions: Annotated[int, Field(ge=1, le=1024)] = 1
    battery_cells_topic: Annotated[str, Field(pattern=r"^[A-Za-z0-9._-]{1,249}$")] | None = None

    object_store: str = "file://data/objects"
    minio_endpoint: str | None = None
    minio_access_key: str | None = None
    minio_secret_key: SecretStr | None = None
    minio_secure: bool = True
    minio_ca_location: Path | None = None
    object_store_timeout_seconds: Annotated[float, Field(gt=0)] = 600.0
    object_grace_seconds: Annotated[float, Field(ge=0)] = 21_600.0

    warehouse: str = "data/battery.duckdb"
    motherduck_token: SecretStr | None = None
    warehouse_password: SecretStr | None = None
    warehouse_lock_timeout_seconds: Annotated[float, Field(gt=0)] = 600.0
    battery_cells: Path | None = None
    battery_alert_rules: Path | None = None
    airflow_conn_battery_alerts: SecretStr | None = None
    iceberg_catalog: str | None = None
    iceberg_namespace: Annotated[str, Field(pattern=r"^[A-Za-z]\w*$")] = "battery"
    iceberg_warehouse: str | None = None
    iceberg_token: SecretStr | None = None
    iceberg_credential: SecretStr | None = None
    dbt_memory_bytes: Annotated[int, Field(ge=256 * 1024**2)] | None = None

    recovery_dir: Path = Path("data/recovery")
    replay_dir: Path = Path("data/replay")
    commit_interval_seconds: Annotated[int, Field(ge=1, le=3600)] = 10
    commit_max_rows: Annotated[int, Field(ge=1)] = 500_000
    lanes: Annotated[int, Field(ge=1, le=MOST_LANES)] = 1
    cell_groups: Annotated[int, Field(ge=0, le=MOST_GROUPS)] = 0
    window_seconds: Annotated[int, Field(ge=1, le=86_400)] = 600
    instrument_max_voltage_v: Annotated[float, Field(gt=0, le=1e5, allow_inf_nan=False)] = 10.0
    instrument_max_current_a: Annotated[float, Field(gt=0, le=1e6, allow_inf_nan=False)] = 10_000.0
    message_max_rows: Annotated[int, Field(ge=1, le=10_000_000)] = 100_000
    message_max_bytes: Annotated[int, Field(ge=1024, le=1024**3)] = 64 * 1024**2

    download_dir: Path = Path("data/downloads")
    download_max_bytes: Annotated[int, Field(ge=1)] = 8 * 1024**3
    download_idle_seconds: Annotated[float, Field(gt=0)] = 60.0
    download_timeout_seconds: Annotated[float, Field(gt=0)] = 3600.0
    zip_max_bytes: Annotated[int, Field(ge=1)] = 8 * 1024**3
    workbook_max_bytes: Annotated[int, Field(ge=1)] = 1024**3
    reader_memory_bytes: Annotated[int, Field(ge=64 * 1024**2)] = 3 * 1024**3
    reader_timeout_seconds: Annotated[float, Field(gt=0)] = 600.0
    date_order: Literal["dmy", "mdy", "ymd"] | None = None
    cell_pattern: str | None = None
    mapping_file: Path | None = None

    gateway_token: Annotated[SecretStr, Field(min_length=16)] | None = None
    gateway_max_bytes: Annotated[int, Field(ge=1024, le=16 * 1024**2)] = 8 * 1024**2
    gateway_ack_seconds: Annotated[float, Field(gt=0, le=300)] = 10.0

    dashboard_password: SecretStr | None = None
    dashboard_upload_max_mb: Annotated[int, Field(ge=1, le=10_000)] = 200
    battery_launcher: Literal["alone", "up", "compose"] = "alone"

    stream_until_end: bool = False
    accept_lost_offsets: bool = False
    max_lag_messages: Annotated[int, Field(ge=0)] = 1_000
    max_commit_age_seconds: Annotated[float, Field(gt=0)] = 3600.0
    run_id: str | None = None
    cluster_timeout_seconds: Annotated[float, Field(gt=0)] = 300.0
    cluster_silence_seconds: Annotated[float, Field(ge=1)] = 15.0
    cluster_absence_seconds: Annotated[float, Field(ge=0)] = 60.0
    metrics_host: str = "127.0.0.1"
    metrics_port: Annotated[int, Field(ge=0, le=65_535)] = 9108
    bytewax_dataflow_api_enabled: bool = False
    bytewax_dataflow_api_port: Annotated[int, Field(ge=1, le=65_535)] = 3030
    log_format: Literal["console", "json"] = "console"

    @property
    def groups(self) -> int:
        """How many groups of cells the workers share: CELL_GROUPS, or as many as there are lanes where that is 0."""
        return self.cell_groups or self.lanes

    def lanes_among(self, processes: int) -> int:
        """How many lanes the processes of a cluster have: LANES, and one for each where lanes land side by side.

        A process without a lane sends all that it has cleaned to one that has one.
        """
        lanes = min(max(self.lanes, processes), MOST_LANES)
        fits = self.warehouse_address.lands_side_by_side and self.cell_groups % lanes == 0
        return lanes if fits else self.lanes

    def groups_among(self, processes: int) -> int:
        """How many groups of cells the processes of a cluster share: CELL_GROUPS, or enough for even shares."""
        lanes = self.lanes_among(processes)
        of_a_lane = min(GROUPS_PER_PROCESS * math.ceil(processes / lanes), MOST_GROUPS // lanes)
        return self.cell_groups or lanes * of_a_lane

    @property
    def cells_topic(self) -> str:
        """The topic of what the lab knows of its cells: BATTERY_CELLS_TOPIC, or BATTERY_TOPIC with `_cells`."""
        return self.battery_cells_topic or f"{self.battery_topic}_cells"

    @property
    def warehouse_address(self) -> WarehouseAddress:
        """What WAREHOUSE names, for all who ask which kind of warehouse it is."""
        return parse_warehouse(self.warehouse)

    @field_validator("object_store")
    @classmethod
    def _known_store(cls, value: str) -> str:
        scheme, separator, rest = value.partition("://")
        if not separator or scheme not in {"file", "s3"} or not rest.strip("/"):
            raise ValueError("must be file://FOLDER or s3://BUCKET")
        return value

    @field_validator(
        "battery_cells",
        "battery_cells_topic",
        "battery_alert_rules",
        "airflow_conn_battery_alerts",
        "date_order",
        "cell_pattern",
        "mapping_file",
        "gateway_token",
        "dashboard_password",
        "iceberg_catalog",
        "iceberg_warehouse",
        "iceberg_token",
        "iceberg_credential",
        "warehouse_password",
        "dbt_memory_bytes",
        mode="before",
    )
    @classmethod
    def _none_where_empty(cls, value: object) -> object:
        return value or None  # compose passes an empty one

    @field_validator("cell_pattern")
    @classmethod
    def _names_a_cell(cls, value: str | None) -> str | None:
        if value is not None:
            require_cell_pattern(value)
        return value

    @field_validator("bytewax_dataflow_api_enabled", mode="before")
    @classmethod
    def _off_where_empty(cls, value: object) -> object:
        return value or False

    @field_validator("iceberg_catalog")
    @classmethod
    def _known_catalog(cls, value: str | None) -> str | None:
        if value is not None and value != "sql" and not value.startswith(("http://", "https://")):
            raise ValueError("must be sql, the URL of a REST catalog, or empty")
        return value

    @field_validator("minio_endpoint")
    @classmethod
    def _host_and_port(cls, value: str | None) -> str | None:
        if value and "://" in value:
            raise ValueError("must be HOST or HOST:PORT; whether it is http or https is MINIO_SECURE")
        return value

    @field_validator("warehouse")
    @classmethod
    def _known_warehouse(cls, value: str) -> str:
        parse_warehouse(value)
        return value

    @model_validator(mode="after")
    def _consistent(self) -> Settings:
        if self.object_store.startswith("s3://"):
            needed = {
                "MINIO_ENDPOINT": self.minio_endpoint,
                "MINIO_ACCESS_KEY": self.minio_access_key,
                "MINIO_SECRET_KEY": self.minio_secret_key,
            }
            absent = [name for name, value in needed.items() if not value]
            if absent:
                raise ValueError(f"OBJECT_STORE={self.object_store} needs {', '.join(absent)}")
        if self.cells_topic == self.battery_topic:
            raise ValueError("BATTERY_CELLS_TOPIC is BATTERY_TOPIC; what is known of cells needs a topic of its own")
        if self.cell_groups % self.lanes:
            raise ValueError(
                f"CELL_GROUPS={self.cell_groups} is not a multiple of LANES={self.lanes}; a lane takes whole groups"
            )
        for name, remedy in self.warehouse_address.required_settings.items():
            if not getattr(self, name.lower()):
                raise ValueError(f"WAREHOUSE={self.warehouse} needs {name}; {remedy}")
        if "SASL" in self.kafka_security_protocol and not (
            self.kafka_sasl_mechanism and self.kafka_sasl_username and self.kafka_sasl_password
        ):
            raise ValueError(
                f"KAFKA_SECURITY_PROTOCOL={self.kafka_security_protocol} needs "
                "KAFKA_SASL_MECHANISM, KAFKA_SASL_USERNAME and KAFKA_SASL_PASSWORD"
            )
        return self


def require_cell_pattern(pattern: str) -> None:
    """Check a pattern that finds the cell in the names of files.

    Raises:
        ValueError: it is no regular expression, or has no group `cell`.
    """
    try:
        groups = re.compile(pattern).groupindex
    except re.error as error:
        raise ValueError(f"{pattern!r} is no regular expression ({error})") from None
    if "cell" not in groups:
        raise ValueError(f"{pattern!r} needs a group (?P<cell>...), which is the cell")


def load_settings(**given: Any) -> Settings:  # noqa: ANN401  # each by its own type, which is checked
    """Read the settings.

    Args:
        given: settings that do not come from the environment, by name.

    Raises:
        BatteryError: a variable is invalid or contradicts another; names each of them, never a secret's value.
    """
    try:
        return Settings(**given)
    except ValidationError as error:
        complaints = []
        for fault in error.errors(include_input=False, include_url=False):
            variable = "_".join(str(part) for part in fault["loc"]).upper()
            message = fault["msg"].removeprefix("Value error, ")
            complaints.append(f"{variable}: {message}" if variable else message)
        raise BatteryError(f"invalid settings: {'; '.join(complaints)}") from None
    except UnicodeDecodeError:
        raise BatteryError("invalid settings: .env is not UTF-8 text; save it as such") from None
    except OSError as error:
        raise BatteryError(f"invalid settings: {error.filename or '.env'} cannot be read: {error.strerror}") from None
