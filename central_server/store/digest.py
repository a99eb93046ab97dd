"""Tables as 256 buckets, for finding what differs without sending it all.

Rules of this file:
- The same sums as `sync_protocol.checksums.digest`, made where the rows are; a test holds the two together.
- Masters are hashed from the rows as they are now; facts by the checksum they came with.
"""

from __future__ import annotations

from central_server.errors import Refused
from central_server.facts import TABLES
from central_server.store.changes import VIEWS
from central_server.store.database import Connection
from sync_protocol.checksums import HASH_MODULUS
from sync_protocol.messages import BucketSum, RowSum

FACTS = "facts"
_BUCKET = "get_byte(sha256(convert_to(row_id, 'UTF8')), 0)"
_SUM = (
    "sum((('x' || encode(substr(row_sha256, 1, 8), 'hex'))::bit(64)::bigint)::numeric)"  # of signed numbers
)
_MODULUS = str(HASH_MODULUS)


def buckets(tx: Connection, space: str, table: str, device_id: str) -> list[BucketSum]:
    """The table's buckets that are not empty; of facts, the device's own. Raises Refused (`space-unknown`)."""
    total = f"mod(mod({_SUM}, {_MODULUS}) + {_MODULUS}, {_MODULUS})"
    sql = f"SELECT {_BUCKET}, count(*), {total} FROM ({_rows(space, table)}) AS r GROUP BY 1 ORDER BY 1"
    found = tx.execute(sql.encode(), _values(table, device_id)).fetchall()
    return [
        BucketSum(bucket=int(str(number)), count=int(str(count)), hash_sum=str(hash_sum))
        for number, count, hash_sum in found
    ]


def bucket_rows(tx: Connection, space: str, table: str, device_id: str, bucket: int) -> list[RowSum]:
    """Id and checksum of every row of one bucket, by id. Raises as `buckets` does."""
    sql = f"SELECT row_id, encode(row_sha256, 'hex') FROM ({_rows(space, table)}) AS r WHERE {_BUCKET} = %(bucket)s"
    values = _values(table, device_id) | {"bucket": bucket}
    found = tx.execute(f"{sql} ORDER BY 1".encode(), values).fetchall()
    return [RowSum(id=str(row_id), sha256=str(sha256)) for row_id, sha256 in found]


def _rows(space: str, table: str) -> str:
    if space == FACTS and table in TABLES:
        return f"SELECT id::text AS row_id, row_sha256 FROM {table} WHERE device_id = %(device_id)s"
    if space in VIEWS:
        return f"""SELECT row_id, sha256(convert_to(data, 'UTF8')) AS row_sha256 FROM {VIEWS[space]}
                   WHERE table_name = %(table)s AND data IS NOT NULL"""
    raise Refused("space-unknown", f"There is no table {table} in the space {space}.")


def _values(table: str, device_id: str) -> dict[str, object]:
    return {"table": table, "device_id": device_id}
