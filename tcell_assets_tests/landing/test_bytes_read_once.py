"""What is hashed is what was parsed, and no link is followed, whatever happens to the files meanwhile."""

from __future__ import annotations

import hashlib
import os
import threading
from collections.abc import Callable
from pathlib import Path

import pytest

from tcell_assets.landing import batch as batch_module
from tcell_assets.landing.arrivals import scan_folder
from tcell_assets.landing.batch import read_batch
from tcell_assets.landing.files import LandingFile, list_files
from tcell_assets.landing.fingerprint import batch_fingerprint, content_hash, hash_files
from tcell_assets.landing.problems import LandingError, ProblemCollector
from tcell_assets.landing.screen_settings import LandingLimits
from tcell_assets_tests.landing.folders import expression_of, mapped_folder, only_problem_of


def replaced_alike(path: Path, old: str, new: str) -> None:
    """Another file of the same size and time under the same name."""
    status = path.stat()
    other = path.with_name(".other")
    other.write_text(path.read_text().replace(old, new, 1))
    assert other.stat().st_size == status.st_size
    os.utime(other, ns=(status.st_atime_ns, status.st_mtime_ns))
    other.replace(path)


def before_hashing(monkeypatch: pytest.MonkeyPatch, act: Callable[[], None]) -> None:
    """Do something after everything was parsed and before the batch is hashed."""

    def hash_after(files: list[LandingFile], problems: ProblemCollector) -> str:
        act()
        return hash_files(files, problems)

    monkeypatch.setattr(batch_module, "hash_files", hash_after)


@pytest.mark.parametrize("name", ["expression.csv", "expression.parquet", "expression.csv.gz"])
def test_a_file_replaced_between_reading_and_hashing_is_never_hashed_for_the_one_that_was_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    import gzip

    import pandas as pd

    folder = mapped_folder(tmp_path / "tc1")
    table = pd.read_csv(folder / "expression.csv")
    if name.endswith(".gz"):
        (folder / name).write_bytes(gzip.compress((folder / "expression.csv").read_bytes()))
    elif name.endswith(".parquet"):
        table.to_parquet(folder / name)
    if name != "expression.csv":
        (folder / "expression.csv").unlink()
    before = content_hash(folder)
    seen: list[str] = []

    def replace() -> None:
        path = folder / name
        status = path.stat()
        path.rename(folder.parent / "was")
        path.write_bytes(bytes(status.st_size))
        os.utime(path, ns=(status.st_atime_ns, status.st_mtime_ns))
        seen.append(content_hash(folder))

    before_hashing(monkeypatch, replace)
    assert "files changed while they were read" in only_problem_of(folder)
    assert seen[0] != before


def test_a_file_replaced_at_equal_size_and_time_changes_stamp_fingerprint_and_hash(tmp_path: Path) -> None:
    folder = mapped_folder(tmp_path / "tc1")
    before = scan_folder(folder).stamp, batch_fingerprint(folder), content_hash(folder)
    replaced_alike(folder / "plate_map.csv", "Glutamine", "Glutamate")
    after = scan_folder(folder).stamp, batch_fingerprint(folder), content_hash(folder)
    assert all(old != new for old, new in zip(before, after, strict=True))


def test_a_file_overwritten_in_place_with_its_time_put_back_changes_the_stamp(tmp_path: Path) -> None:
    folder = mapped_folder(tmp_path / "tc1")
    before, path = scan_folder(folder).stamp, folder / "plate_map.csv"
    status = path.stat()
    path.write_text(path.read_text().replace("Glutamine", "Glutamate"))
    os.utime(path, ns=(status.st_atime_ns, status.st_mtime_ns))
    assert scan_folder(folder).stamp != before


def test_the_hash_of_a_batch_is_that_of_the_bytes_that_were_parsed(tmp_path: Path) -> None:
    folder = mapped_folder(tmp_path / "tc1")
    (folder / "screen.yaml").write_text("plate_format: 96\n")
    (folder / "notes.txt").write_text("not parsed, and hashed all the same")
    total = hashlib.sha256()
    for name in sorted(path.name for path in folder.iterdir()):
        digest = hashlib.sha256((folder / name).read_bytes()).hexdigest()
        total.update(f"{len(name)}:{name}\n{digest}\n".encode())
    assert read_batch(folder).content_hash == total.hexdigest()


def test_a_link_put_in_place_of_a_listed_file_is_not_followed(tmp_path: Path) -> None:
    folder = mapped_folder(tmp_path / "data" / "tc1")
    secret = tmp_path / "secret.csv"
    secret.write_text("plate,well,metabolite\nroot:x:0:0,A1,hidden\n")
    files = list_files(folder, folder.parent, LandingLimits(), ProblemCollector("tc1"))
    listed = next(file for file in files if file.name == "plate_map.csv")
    (folder / "plate_map.csv").unlink()
    (folder / "plate_map.csv").symlink_to(secret)
    with pytest.raises(OSError, match=r"symbolic|loop|link"):
        listed.read()


def test_a_folder_swapped_for_a_link_after_listing_is_not_entered(tmp_path: Path) -> None:
    folder = mapped_folder(tmp_path / "data" / "tc1" / "P1")
    files = list_files(folder.parent, tmp_path / "data", LandingLimits(), ProblemCollector("tc1"))
    folder.rename(tmp_path / "elsewhere")
    folder.symlink_to(tmp_path / "elsewhere")
    with pytest.raises(OSError, match=r"directory|symbolic|loop"):
        files[0].read()


def test_a_plate_map_that_flips_between_a_file_and_a_link_never_shows_what_the_link_leads_to(
    tmp_path: Path,
) -> None:
    folder = mapped_folder(tmp_path / "data" / "tc1")
    secret = tmp_path / "secret.csv"
    secret.write_text("TOPSECRET,well,metabolite\nTOPSECRET,A1,TOPSECRET\n" * 3)
    plain = (folder / "plate_map.csv").read_bytes()
    stop = threading.Event()

    def flip() -> None:
        while not stop.is_set():
            for make in (lambda path: path.symlink_to(secret), lambda path: path.write_bytes(plain)):
                other = folder / ".flip"
                make(other)
                other.replace(folder / "plate_map.csv")

    flipper = threading.Thread(target=flip)
    flipper.start()
    outcomes = set()
    try:
        for _ in range(60):
            try:
                batch = read_batch(folder)
                outcomes.add("read")
                assert expression_of(batch).shape == (6, 3)
            except LandingError as error:
                outcomes.add("refused")
                assert "TOPSECRET" not in str(error)
    finally:
        stop.set()
        flipper.join()
    assert "refused" in outcomes
