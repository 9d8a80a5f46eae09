"""How pyiceberg reaches the object store: through Arrow, with the settings of the store.

pyiceberg takes this class by its name, and gives it the properties that `storage_properties` makes.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Final

from pyarrow.fs import S3FileSystem
from pyiceberg.io.pyarrow import PyArrowFileIO

from kernel.base.errors import BatteryError

if TYPE_CHECKING:
    from pyarrow.fs import FileSystem

    from kernel.base.settings import Settings

REGION: Final = "us-east-1"
"""The region that a MinIO takes, where none is set in it."""

_CA: Final = "battery.ca-file"
_ENDPOINT: Final = "s3.endpoint"
_ACCESS: Final = "s3.access-key-id"
_SECRET: Final = "s3.secret-access-key"  # noqa: S105  # the name of a property
_REGION: Final = "s3.region"


class StoreIO(PyArrowFileIO):
    """Files by Arrow; for S3 with the certificate authority of MINIO_CA_LOCATION, which pyiceberg cannot be told."""

    def _initialize_s3_fs(self, netloc: str | None) -> FileSystem:  # noqa: ARG002  # its signature
        return S3FileSystem(
            endpoint_override=self.properties.get(_ENDPOINT),
            access_key=self.properties.get(_ACCESS),
            secret_key=self.properties.get(_SECRET),
            region=self.properties.get(_REGION, REGION),
            tls_ca_file_path=self.properties.get(_CA),
        )


def storage_properties(settings: Settings) -> dict[str, str]:
    """The properties of a catalog by which pyiceberg reaches the OBJECT_STORE."""
    properties = {"py-io-impl": f"{__name__}.{StoreIO.__name__}"}
    if settings.object_store.startswith("s3://"):
        scheme = "https" if settings.minio_secure else "http"
        secret = settings.minio_secret_key.get_secret_value() if settings.minio_secret_key else ""
        properties |= {
            _ENDPOINT: f"{scheme}://{settings.minio_endpoint}",
            _ACCESS: settings.minio_access_key or "",
            _SECRET: secret,
            _REGION: REGION,
        }
        if settings.minio_ca_location:
            properties[_CA] = str(settings.minio_ca_location)
    return properties


def store_root(settings: Settings) -> str:
    """The OBJECT_STORE as the start of the address of each object, without a slash at its end.

    Raises:
        BatteryError: the folder has a name that an address cannot hold.
    """
    if settings.object_store.startswith("s3://"):
        return settings.object_store.rstrip("/")
    folder = str(Path(settings.object_store.removeprefix("file://")).resolve())
    odd = next((character for character in "?#%" if character in folder), None)
    if odd is not None:
        raise BatteryError(
            f"OBJECT_STORE={settings.object_store}: programs that read Iceberg tables take the {odd} in {folder} for a "
            "part of an address; move the objects to a folder without it"
        )
    return f"file://{folder}"
