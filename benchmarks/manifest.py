"""How fast is a tree of many files listed into a manifest? Files a second, beside what others do with the same tree.

    python benchmarks/manifest.py
    python benchmarks/manifest.py --files 10000000 --ours-alone --folder /data/tree

Makes a tree of hard links to a few small files (a link takes an entry of a folder, and an inode as often as --links
says), 1,000 files a folder, lists it in turn by each of the ways below, and removes it. Every way but those marked ends
with the name and the size of every file in Parquet; the system's caches are warm for all of them alike after the first
round, which does not count. A ratio is ours divided by the peer's rate in the same round: median, least and largest; by
the clock, and by the processor's time, which other work on the machine hardly changes.

    manifest    `csrms manifest`, as many processes as CPUs; manifest-1: one; names: one for each CPU, without sizes
    os.walk     with os.stat of each file, then pyarrow.parquet
    find        GNU find -printf '%p %s' into a text file, in no order: no Parquet
    pyarrow     pyarrow.fs.FileSelector, recursive, then pyarrow.parquet
    dataset     pyarrow.dataset.dataset(...).files: no sizes, no Parquet
    ray.data    the listing of ray.data.read_binary_files, with its sizes, then pyarrow.parquet (--ray)
"""

from __future__ import annotations

import argparse
import os
import platform
import resource
import shutil
import statistics
import subprocess
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path

import pyarrow as pa
import pyarrow.dataset as pads
import pyarrow.fs as pafs
import pyarrow.parquet as pq

from csrms_dist.datasets.manifest import manifest_of_folder

PER_FOLDER = 1000


def make_tree(root: Path, files: int, links: int) -> None:
    """`files` names below `root`, PER_FOLDER a folder, `links` of them to each inode."""
    source, made = root, 0
    while made < files:
        folder = root / f"class-{made // (100 * PER_FOLDER):04}" / f"{made // PER_FOLDER % 100:02}"
        folder.mkdir(parents=True)
        handle = os.open(folder, os.O_RDONLY)
        for n in range(min(PER_FOLDER, files - made)):
            if (made + n) % links == 0:
                source = folder / f"image-{made + n:09}.jpg"
                source.write_bytes(b"\xff" * (100 + n))
            else:
                os.link(source, f"image-{made + n:09}.jpg", dst_dir_fd=handle)
        os.close(handle)
        made += PER_FOLDER


def table_of(names: Sequence[str], sizes: Sequence[int], out: str) -> int:
    pq.write_table(pa.table({"uri": names, "size": sizes}), out)
    return len(names)


def walked(root: str, out: str) -> int:
    names, sizes = [], []
    for folder, _, files in os.walk(root):
        for name in files:
            path = os.path.join(folder, name)  # noqa: PTH118 - as one writes it for many files
            names.append(path)
            sizes.append(os.stat(path).st_size)  # noqa: PTH116
    return table_of(names, sizes, out)


def selected(root: str, out: str) -> int:
    found = pafs.LocalFileSystem().get_file_info(pafs.FileSelector(root, recursive=True))
    files = [info for info in found if info.is_file]
    return table_of([info.path for info in files], [info.size for info in files], out)


def found_by_find(root: str, out: str) -> int:
    command = ["find", root, "-type", "f", "-printf", "%p %s\\n"]
    with Path(out).open("wb") as lines:
        subprocess.run(command, stdout=lines, check=True)
    with Path(out).open("rb") as lines:
        return sum(block.count(b"\n") for block in iter(lambda: lines.read(1 << 20), b""))


def dataset(root: str, out: str) -> int:
    return len(pads.dataset(root, format=pads.IpcFileFormat(), schema=pa.schema([])).files)


def by_ray(root: str, out: str) -> int:
    """The listing of ray.data.read_binary_files and its kin: paths and sizes before the first task is made."""
    from ray.data.datasource.file_meta_provider import DefaultFileMetadataProvider

    found = list(DefaultFileMetadataProvider().expand_paths([root], pafs.LocalFileSystem()))
    return table_of([path for path, _ in found], [size for _, size in found], out)


def ours(hands: int, sizes: bool = True) -> Callable[[str, str], int]:
    return lambda root, out: manifest_of_folder(root, out, hands=hands, sizes=sizes).images


def processor_s() -> float:
    """Seconds of the processor that this process and those it has waited for have taken."""
    usages = (resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN))
    return sum(usage.ru_utime + usage.ru_stime for usage in usages)


def compared(mine: Sequence[float], others: Sequence[float]) -> str:
    """The ratio of two rates round by round: median, least and largest."""
    ratios = sorted(a / b for a, b in zip(mine, others, strict=True))
    return f"{statistics.median(ratios):.2f} ({ratios[0]:.2f} to {ratios[-1]:.2f})"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--files", type=int, default=100_000)
    parser.add_argument("--links", type=int, default=10, help="names of one inode")
    parser.add_argument("--rounds", type=int, default=5, help="those that count")
    parser.add_argument("--folder", type=Path, help="where the tree is made (default: the system's temporary folder)")
    parser.add_argument("--ours-alone", action="store_true", help="list by csrms alone, once, the first time counts")
    parser.add_argument("--ray", action="store_true", help="Ray Data's listing too")
    arguments = parser.parse_args()
    cores = os.cpu_count() or 1
    ways: dict[str, Callable[[str, str], int]] = {"manifest": ours(cores)}
    if not arguments.ours_alone:
        ways |= {"manifest-1": ours(1), "names": ours(cores, sizes=False), "os.walk": walked, "find": found_by_find,
                 "pyarrow": selected, "dataset": dataset}  # fmt: skip
        ways |= {"ray.data": by_ray} if arguments.ray else {}
    place = Path(tempfile.mkdtemp(prefix="csrms-manifest-", dir=arguments.folder))
    try:
        begun = time.perf_counter()
        (place / "tree").mkdir()
        make_tree(place / "tree", arguments.files, arguments.links)
        seconds = time.perf_counter() - begun
        print(f"{arguments.files:,} files made in {seconds:.0f} s; {cores} CPUs, {platform.platform()}")
        rounds = 1 if arguments.ours_alone else arguments.rounds + 1
        rates: dict[str, list[float]] = {name: [] for name in ways}
        work: dict[str, list[float]] = {name: [] for name in ways}
        for number in range(rounds):
            for name, way in ways.items():
                begun, before = time.perf_counter(), processor_s()
                n = way(str(place / "tree"), str(place / "m.parquet"))
                seconds = time.perf_counter() - begun
                if n != arguments.files:
                    raise SystemExit(f"{name}: {n:,} files, {arguments.files:,} were made")
                if number or rounds == 1:
                    rates[name].append(n / seconds)
                    work[name].append(n / (processor_s() - before))
        print(f"{'':<12}{'files/s':>12}   {'manifest / it':<24}{'files a CPU s':>14}   manifest-1 / it")
        for name, found in rates.items():
            wall = compared(rates["manifest"], found)
            cpu = compared(work.get("manifest-1", work["manifest"]), work[name])
            rate, per_cpu = statistics.median(found), statistics.median(work[name])
            print(f"{name:<12}{rate:>12,.0f}   {wall:<24}{per_cpu:>14,.0f}   {cpu}")
    finally:
        shutil.rmtree(place)


if __name__ == "__main__":
    main()
