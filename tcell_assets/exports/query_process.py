"""Answers one query in a process of its own, which is ended where the query goes beyond its limits.

`SELECT repeat('a', 3000000000)` hears neither DuckDB's clock nor its memory limit: 200 s and 6 GB without an answer. A
process can be ended, and the kernel refuses it memory.
"""

from __future__ import annotations

import json
import subprocess
import sys
from dataclasses import asdict
from typing import TYPE_CHECKING

from tcell_assets.exports.sql import QueryError, QueryLimits, run_query, too_large, too_slow
from tcell_assets.lake.store import Lake

if TYPE_CHECKING:
    import pyarrow as pa

# The interpreter with DuckDB and Arrow, before the first row.
MEMORY_BESIDE_THE_QUERY_MIB = 1024
# Loading the libraries, and handing a large answer over.
SECONDS_BESIDE_THE_QUERY = 20.0
_REFUSED, _OUT_OF_MEMORY, _NO_DUCKDB = 3, 4, 5


def query_in_process(root: str, query: str, limits: QueryLimits = QueryLimits()) -> pa.Table:  # noqa: B008
    """Return the answer to one SELECT over the lake at `root`; see `sql.run_query`.

    Raises:
        QueryError: As there; a limit is kept whatever the query does.
        ImportError: DuckDB is not installed.
    """
    import pyarrow as pa

    command = [sys.executable, "-m", "tcell_assets.exports.query_process", root, json.dumps(asdict(limits))]
    try:
        done = subprocess.run(
            command,
            input=query.encode(),
            capture_output=True,
            timeout=limits.seconds + SECONDS_BESIDE_THE_QUERY,
            check=False,
        )
    except subprocess.TimeoutExpired as error:
        raise QueryError(too_slow(limits)) from error
    if done.returncode == 0:
        return pa.ipc.open_stream(done.stdout).read_all()
    if done.returncode == _REFUSED:
        raise QueryError(done.stderr.decode())
    if done.returncode == _NO_DUCKDB:
        raise ImportError(done.stderr.decode())
    if done.returncode == _OUT_OF_MEMORY or done.returncode < 0:
        # Libraries that are refused memory abort as often as they raise.
        raise QueryError(too_large(limits))
    raise QueryError(
        f"the query ended its process ({done.returncode}): {done.stderr.decode(errors='replace')[-500:]}"
    )


def _limit_memory(mib: int) -> None:
    if sys.platform != "linux":
        return
    import resource

    # What is written to, not what is reserved: the allocators of Arrow and DuckDB reserve far more than they use.
    most = (mib + MEMORY_BESIDE_THE_QUERY_MIB) * 2**20
    _, hard = resource.getrlimit(resource.RLIMIT_DATA)
    if hard == resource.RLIM_INFINITY or hard > most:
        resource.setrlimit(resource.RLIMIT_DATA, (most, hard))


def main() -> None:
    """Answer the query on standard input as an Arrow stream on standard output; a refusal is the text of its error."""
    from upath import UPath

    root, limits = sys.argv[1], QueryLimits(**json.loads(sys.argv[2]))
    _limit_memory(limits.memory_mib)
    try:
        import pyarrow as pa

        answer = run_query(Lake(UPath(root)), sys.stdin.buffer.read().decode(), limits)
        with pa.ipc.new_stream(sys.stdout.buffer, answer.schema) as writer:
            writer.write_table(answer)
    except QueryError as error:
        sys.stderr.write(str(error))
        sys.exit(_REFUSED)
    except ImportError as error:
        sys.stderr.write(str(error))
        sys.exit(_NO_DUCKDB)
    except MemoryError:
        sys.exit(_OUT_OF_MEMORY)


if __name__ == "__main__":
    main()
