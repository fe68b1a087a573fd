"""A thousand bad landing folders through the ingest job: each one clear error in its time, and the lake untouched."""

from __future__ import annotations

import gzip
import hashlib
import os
import random
import shutil
import time
from collections.abc import Callable
from pathlib import Path

import dagster as dg
import pytest

from tcell_assets.commands.platform import Platform, RunFailedError
from tcell_assets.definitions import build_defs
from tcell_assets.defs.partitions import SCREENING_BATCHES
from tcell_assets_tests.small_screen import configuration_in

FOLDERS = 1000
SECONDS_A_FOLDER = 2.0
WELLS = [f"{row}{column}" for row in "ABC" for column in range(1, 5)]
GENES = [f"GENE{number}" for number in range(6)]
MAP, MATRIX = "plate_map.csv", "expression.csv"

Rows = dict[str, list[list[str]]]
Spoil = Callable[[Path, Rows, random.Random], None]


def _good(batch: str, chance: random.Random) -> Rows:
    matrix = [["well_id", *GENES]]
    matrix += [[f"{batch}_P1_{well}", *(f"{chance.gauss(5, 2):.4f}" for _ in GENES)] for well in WELLS]
    treatments = ["DMSO" if number % 3 == 0 else f"metabolite {number}" for number in range(len(WELLS))]
    plate_map = [["plate", "well", "metabolite"]]
    plate_map += [["P1", well, treatment] for well, treatment in zip(WELLS, treatments, strict=True)]
    return {MATRIX: matrix, MAP: plate_map}


def _lay_down(folder: Path, rows: Rows) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    for name, table in rows.items():
        text = "\n".join(",".join(row) for row in table) + "\n"
        (folder / name).write_bytes(text.encode("utf-8", "surrogatepass"))


def _row(rows: Rows, name: str, chance: random.Random) -> list[str]:
    return chance.choice(rows[name][1:])


def _cell(values: list[str]) -> Spoil:
    def spoil(folder: Path, rows: Rows, chance: random.Random) -> None:
        _row(rows, MATRIX, chance)[chance.randrange(1, len(GENES) + 1)] = chance.choice(values)
        _lay_down(folder, rows)

    return spoil


def _map_cell(column: int, values: list[str]) -> Spoil:
    def spoil(folder: Path, rows: Rows, chance: random.Random) -> None:
        _row(rows, MAP, chance)[column] = chance.choice(values)
        _lay_down(folder, rows)

    return spoil


def _without_a_file(folder: Path, rows: Rows, chance: random.Random) -> None:
    del rows[chance.choice([MAP, MATRIX])]
    _lay_down(folder, rows)


def _without_a_row(folder: Path, rows: Rows, chance: random.Random) -> None:
    del rows[MAP][chance.randrange(1, len(WELLS))]
    _lay_down(folder, rows)


def _row_twice(folder: Path, rows: Rows, chance: random.Random) -> None:
    name = chance.choice([MAP, MATRIX])
    rows[name].insert(chance.randrange(1, len(WELLS)), list(_row(rows, name, chance)))
    _lay_down(folder, rows)


def _gene_twice(folder: Path, rows: Rows, chance: random.Random) -> None:
    first, second = chance.sample(range(1, len(GENES) + 1), 2)
    rows[MATRIX][0][first] = rows[MATRIX][0][second]
    _lay_down(folder, rows)


def _ragged(folder: Path, rows: Rows, chance: random.Random) -> None:
    row = _row(rows, chance.choice([MAP, MATRIX]), chance)
    row.extend(["1"] * chance.randrange(1, 9))
    _lay_down(folder, rows)


def _no_dmso(folder: Path, rows: Rows, chance: random.Random) -> None:
    for row in rows[MAP][1:]:
        row[2] = f"metabolite {chance.randrange(99)}"
    _lay_down(folder, rows)


def _unnamed_column(folder: Path, rows: Rows, chance: random.Random) -> None:
    rows[MAP][0][chance.randrange(3)] = chance.choice(["", "colour", "=1+1", "\x00"])
    _lay_down(folder, rows)


def _bytes_instead(folder: Path, rows: Rows, chance: random.Random) -> None:
    _lay_down(folder, rows)
    content = chance.choice(
        [b"", b"\x00" * 100, chance.randbytes(chance.randrange(1, 4000)), b"PK\x03\x04zip", b"PAR1"]
    )
    (folder / chance.choice([MAP, MATRIX])).write_bytes(content)


def _torn_gzip(folder: Path, rows: Rows, chance: random.Random) -> None:
    _lay_down(folder, rows)
    packed = gzip.compress((folder / MATRIX).read_bytes())
    (folder / MATRIX).unlink()
    (folder / f"{MATRIX}.gz").write_bytes(packed[: chance.randrange(1, len(packed) - 1)])


def _not_parquet(folder: Path, rows: Rows, chance: random.Random) -> None:
    _lay_down(folder, rows)
    (folder / MATRIX).unlink()
    (folder / "expression.parquet").write_bytes(
        b"PAR1" + chance.randbytes(chance.randrange(0, 900)) + b"PAR1"
    )


def _link_out(folder: Path, rows: Rows, chance: random.Random) -> None:
    _lay_down(folder, rows)
    (folder / chance.choice(["targets.csv", "a.csv"])).symlink_to(
        chance.choice(["/etc/passwd", "/dev/zero", "/", "../.."])
    )


def _pipe(folder: Path, rows: Rows, chance: random.Random) -> None:
    _lay_down(folder, rows)
    os.mkfifo(folder / chance.choice(["targets.csv", "pipe.csv"]))


HOSTILE_NAMES = ["../../etc", "", "  ", "\x00", "a\nb", "A" * 10_000, "P\x1b[31m"]
SPOILS: list[Spoil] = [
    _cell(["", "abc", "1,5", "NaN", "inf", "-inf", "1e999", "#DIV/0!", "=1+1", "0x10", "None", "--1"]),
    _map_cell(0, [*HOSTILE_NAMES, "P2"]),
    _map_cell(1, [*HOSTILE_NAMES, "Z99", "A0", "1A", "A1000", "H12"]),
    _without_a_file,
    _without_a_row,
    _row_twice,
    _gene_twice,
    _ragged,
    _no_dmso,
    _unnamed_column,
    _bytes_instead,
    _torn_gzip,
    _not_parquet,
    _link_out,
    _pipe,
]


def _hash_of(folder: Path) -> str:
    digest = hashlib.sha256()
    for path in sorted(folder.rglob("*")):
        if path.is_file():
            digest.update(str(path.relative_to(folder)).encode() + path.read_bytes())
    return digest.hexdigest()


def _ingest(platform: Platform, batch: str) -> None:
    platform.run("ingest", batch, selection=["well_metadata", "expression_matrix"])


@pytest.mark.slow
def test_a_thousand_bad_folders_each_fail_with_one_clear_error_and_leave_the_lake_alone(
    memory_folder: Path,
) -> None:
    configuration = configuration_in(memory_folder)
    chance = random.Random(614)
    _lay_down(configuration.data / "good", _good("good", chance))
    lake, folder = Path(configuration.storage) / "lake", configuration.data / "bad"
    unlike, slow = [], []
    for number in range(FOLDERS):
        if number % 100 == 0:
            # Dagster's in-memory event log grows by every run and slows down.
            instance = dg.DagsterInstance.ephemeral()
            instance.add_dynamic_partitions(SCREENING_BATCHES, ["good", "bad"])
            platform = Platform(configuration, instance, build_defs(configuration))
            _ingest(platform, "good")
            before = _hash_of(lake)
        shutil.rmtree(folder, ignore_errors=True)
        spoil = SPOILS[number % len(SPOILS)]
        spoil(folder, _good("bad", chance), chance)
        started = time.process_time()
        with pytest.raises(RunFailedError) as failure:
            _ingest(platform, "bad")
        seconds, message = time.process_time() - started, str(failure.value)
        is_clear = message.startswith("batch 'bad' cannot be read") and "Traceback" not in message
        if not is_clear or not all(line.isprintable() for line in message.splitlines()):
            unlike.append((number, getattr(spoil, "__name__", ""), message[:300]))
        if seconds > SECONDS_A_FOLDER:
            slow.append((number, seconds))
        assert _hash_of(lake) == before, message
    assert unlike == []
    assert slow == []
