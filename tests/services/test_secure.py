"""TLS everywhere and SASL/SCRAM on the broker, with a certificate authority of our own."""

from __future__ import annotations

import io
from typing import TYPE_CHECKING

import duckdb
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import trustme
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    load_pem_private_key,
)
from support.iceberg import in_bucket
from support.pipeline import Pipeline
from support.servers import Kafka, MinIO

from kernel.base.errors import BatteryError
from kernel.base.settings import Settings
from kernel.edges.duckdb_objects import object_root, unlock_objects
from kernel.edges.objects import open_store
from producer.simulate import simulate_cell
from refresh.iceberg.register import register

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from support.committed import Landed

USER, PASSWORD = "battery", "hush-scram"
MECHANISMS = ["SCRAM-SHA-256", "SCRAM-SHA-512"]


def _key_and_chain(authority: trustme.CA) -> tuple[bytes, bytes]:
    """A server's private key, as both servers read it, and its certificate."""
    issued = authority.issue_cert("127.0.0.1")
    key = load_pem_private_key(issued.private_key_pem.bytes(), password=None)
    plain = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    return plain, b"".join(pem.bytes() for pem in issued.cert_chain_pems)


@pytest.fixture(scope="module")
def authority() -> trustme.CA:
    return trustme.CA()


@pytest.fixture(scope="module")
def secure(
    authority: trustme.CA,
    tmp_path_factory: pytest.TempPathFactory,
    kafka_files: Path,  # noqa: ARG001
    minio_files: Path,  # noqa: ARG001
) -> Iterator[dict[str, str]]:
    """The settings of a pipeline on a Kafka and a MinIO that speak TLS only."""
    folder = tmp_path_factory.mktemp("secure")
    certificate = folder / "ca.pem"
    authority.cert_pem.write_to_path(str(certificate))
    key, chain = _key_and_chain(authority)
    (folder / "kafka.pem").write_bytes(key + chain)
    certificates = folder / "certs"
    certificates.mkdir()
    (certificates / "private.key").write_bytes(key)
    (certificates / "public.crt").write_bytes(chain)
    module = "org.apache.kafka.common.security.scram.ScramLoginModule required;"
    broker = Kafka(
        folder / "kafka",
        secure={
            "ssl.keystore.type": "PEM",
            "ssl.keystore.location": str(folder / "kafka.pem"),
            "sasl.enabled.mechanisms": ",".join(MECHANISMS),
            **{f"{mechanism.lower()}.sasl.jaas.config": module for mechanism in MECHANISMS},
        },
        format_arguments=[
            argument
            for mechanism in MECHANISMS
            for argument in ("--add-scram", f"{mechanism}=[name={USER},password={PASSWORD}]")
        ],
    )
    server = MinIO(folder / "minio", certificates=certificates)
    try:
        broker.start()
        server.start()
        yield {
            **server.settings("secure"),
            "MINIO_CA_LOCATION": str(certificate),
            "KAFKA_BOOTSTRAP_SERVERS": f"127.0.0.1:{broker.secure_port}",
            "KAFKA_SECURITY_PROTOCOL": "SASL_SSL",
            "KAFKA_SASL_MECHANISM": MECHANISMS[0],
            "KAFKA_SASL_USERNAME": USER,
            "KAFKA_SASL_PASSWORD": PASSWORD,
            "KAFKA_SSL_CA_LOCATION": str(certificate),
        }
    finally:
        broker.stop()
        server.stop()


@pytest.mark.parametrize("mechanism", MECHANISMS)
def test_the_job_runs_over_tls_with_a_password(secure: dict[str, str], tmp_path: Path, mechanism: str) -> None:
    own = {
        "KAFKA_SASL_MECHANISM": mechanism,
        "BATTERY_TOPIC": f"secure-{mechanism}",
        "OBJECT_STORE": f"s3://secure-{mechanism.lower()}",
    }
    pipeline = Pipeline(tmp_path / "pipeline", 0, secure | own)
    workbooks = tmp_path / "workbooks"
    workbooks.mkdir()
    simulate_cell(workbooks, "SAFE", cycles=3, cycles_per_file=3)
    pipeline.battery("produce", str(workbooks))
    pipeline.battery("stream", "--until-end")
    assert "everything adds up" in pipeline.battery("verify")
    assert "lag 0" in pipeline.battery("status")


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"KAFKA_SASL_PASSWORD": "hush-wrong"}, "check KAFKA_SASL_MECHANISM, KAFKA_SASL_USERNAME"),
        ({"KAFKA_SSL_CA_LOCATION": "another"}, "check KAFKA_SECURITY_PROTOCOL and KAFKA_SSL_CA_LOCATION"),
        ({"KAFKA_SECURITY_PROTOCOL": "PLAINTEXT"}, "no broker answers at KAFKA_BOOTSTRAP_SERVERS="),
        ({"MINIO_CA_LOCATION": "another"}, "name the authority of its certificate with MINIO_CA_LOCATION"),
        ({"MINIO_CA_LOCATION": "/nowhere.pem"}, "MINIO_CA_LOCATION=/nowhere.pem is no file"),
        ({"MINIO_SECURE": "false"}, "cannot open bucket"),
    ],
)
def test_what_is_wrong_with_a_secure_connection_is_one_line_that_names_the_setting(
    secure: dict[str, str], tmp_path: Path, changes: dict[str, str], said: str
) -> None:
    another = tmp_path / "another.pem"
    trustme.CA().cert_pem.write_to_path(str(another))
    changes = {name: str(another) if value == "another" else value for name, value in changes.items()}
    pipeline = Pipeline(tmp_path / "pipeline", 0, secure | changes)
    last = pipeline.battery("stream", "--until-end", code=2).strip().splitlines()[-1]
    assert last.startswith("battery: ")
    assert said in last
    assert "hush" not in last


def test_iceberg_tables_lie_in_a_store_with_a_certificate_of_our_own(landed: Landed, secure: dict[str, str]) -> None:
    names = ("MINIO_ENDPOINT", "MINIO_ACCESS_KEY", "MINIO_SECRET_KEY", "MINIO_SECURE", "MINIO_CA_LOCATION")
    places = {name: secure[name] for name in names} | {"OBJECT_STORE": "s3://iceberg-secure"}
    settings, store = in_bucket(landed, places)
    done = register(settings, store, landed.warehouse)
    assert [table.rows for table in done.tables] == [landed.contents()[table.name][0] for table in done.tables]
    unknown = settings.model_copy(update={"minio_ca_location": None})
    with pytest.raises(BatteryError, match="cannot be"):
        register(unknown, store, landed.warehouse)


def test_duckdb_reads_objects_of_a_store_with_a_certificate_of_our_own_and_of_no_other(secure: dict[str, str]) -> None:
    places = {name.lower(): value for name, value in secure.items() if name.startswith("MINIO_")}
    settings = Settings(**{**places, "object_store": "s3://duckdb-secure"})  # type: ignore[arg-type]
    rows = io.BytesIO()
    pq.write_table(pa.table({"voltage": [3.7]}), rows)
    open_store(settings).put("rows.parquet", rows.getvalue())
    read = f"from '{object_root(settings)}rows.parquet'"
    with duckdb.connect() as connection:
        unlock_objects(connection, settings)
        assert connection.execute(read).fetchall() == [(3.7,)]
    with duckdb.connect() as connection:
        unlock_objects(connection, settings.model_copy(update={"minio_ca_location": None}))
        with pytest.raises(duckdb.Error, match=r"(?i)certificate|SSL"):
            connection.execute(read)
