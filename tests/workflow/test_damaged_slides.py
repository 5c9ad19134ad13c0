"""Half of fifty slides are damaged, each in a way of its own: half are left out by name, half are as if alone."""

import hashlib
import io
import tarfile

import cv2
import numpy as np
import pytest
import tifffile
import yaml
from histocarta.files import read_table
from slide_kit import damage_tile, slide_pixels, tile_bytes, write_svs
from workflow_kit import STUDY, snakemake

GOOD = 25
SIDE = 1024  # 16 tiles of the file, 8 of them of tissue


def _cut(share):
    """The first part of a good file."""

    def write(path, rgb):
        write_svs(path, rgb)
        path.write_bytes(path.read_bytes()[: int(path.stat().st_size * share)])

    return write


def _content(content):
    def write(path, rgb):
        path.write_bytes(content)

    return write


def _encoded(extension):
    """A plain picture under a slide's name."""

    def write(path, rgb):
        path.write_bytes(cv2.imencode(extension, rgb[..., ::-1])[1].tobytes())

    return write


def _svs(**options):
    def write(path, rgb):
        write_svs(path, rgb, **options)

    return write


def _damaged_tiles(compression):
    """Three tiles of 16 whose headers are overwritten."""

    def write(path, rgb):
        write_svs(path, rgb, compression=compression)
        for tile in (0, 5, 9):
            damage_tile(path, page=0, tile=tile)

    return write


def _hole(path, rgb):
    """Zeros where a third of the tissue's tiles were, as a disk leaves them."""
    write_svs(path, rgb)
    first, _, _ = tile_bytes(path, page=0, tile=4)
    last, count, _ = tile_bytes(path, page=0, tile=9)
    with path.open("r+b") as stream:
        stream.seek(first)
        stream.write(b"\0" * (last + count - first))


def _wrong_tag(path, rgb):
    """A compression that no one knows."""
    write_svs(path, rgb)
    with tifffile.TiffFile(path, mode="r+b") as tiff:
        for page in tiff.pages:
            page.tags["Compression"].overwrite(34999)


def _tiff(pixels=lambda rgb: rgb, **options):
    """A TIFF of no vendor at 0.5 um/px."""

    def write(path, rgb):
        written = {"photometric": "rgb", "tile": (256, 256), "resolution": (20000, 20000), "resolutionunit": 3}
        tifffile.imwrite(path, pixels(rgb), **(written | options))

    return write


def _random_bytes(path, rgb):
    path.write_bytes(np.random.default_rng(1).bytes(50_000))


def _tar(path, rgb):
    """Several slides packed into one file, as portals hand them out."""
    with tarfile.open(path, "w") as archive:
        member = tarfile.TarInfo("slide.svs")
        member.size = 4096
        archive.addfile(member, io.BytesIO(b"\0" * 4096))


DAMAGE = {
    "empty": (_content(b""), "S-OPEN"),
    "zeros": (_content(b"\0" * 4096), "S-OPEN"),
    "web-page": (_content(b"<html><body>403 Forbidden</body></html>"), "S-OPEN"),
    "answer": (_content(b'{"message": "not found"}'), "S-OPEN"),
    "zip": (_content(b"PK\3\4" + b"x" * 5000), "S-OPEN"),
    "tar": (_tar, "S-OPEN"),
    "noise": (_random_bytes, "S-OPEN"),
    "png": (_encoded(".png"), "S-OPEN"),
    "jpeg": (_encoded(".jpg"), "S-OPEN"),
    "cut-1": (_cut(0.01), "S-OPEN"),
    "cut-25": (_cut(0.25), "S-OPEN"),
    "cut-50": (_cut(0.50), "S-OPEN"),
    "cut-90": (_cut(0.90), "S-OPEN"),
    "cut-99": (_cut(0.99), "S-OPEN"),
    "wrong-tag": (_wrong_tag, "S-OPEN"),
    "strips": (_tiff(tile=None), "S-OPEN"),
    "grey": (_tiff(photometric="minisblack", pixels=lambda rgb: rgb[..., 0]), "S-COLOUR"),
    "16-bit": (_tiff(pixels=lambda rgb: rgb.astype(np.uint16) * 256), "S-COLOUR"),
    "no-mpp": (_svs(mpp=None, objective=None), "S-MPP"),
    "mpp-25": (_svs(mpp="25"), "S-MPP"),
    "mpp-words": (_svs(mpp="twenty"), "S-MPP"),
    "mpp-of-two-sizes": (_tiff(resolution=(20000, 10000)), "S-MPP"),
    "hole": (_hole, "S-TILES"),
    "bad-jpeg": (_damaged_tiles("jpeg"), "S-TILES"),
    "bad-jpeg2000": (_damaged_tiles("aperio_jp2000_rgb"), "S-TILES"),
}


def run(folder, slides):
    """Tile ``slides`` (name: how it is written) in ``folder``; the manifest, and the SHA-256 of all that was made."""
    (folder / "data").mkdir(parents=True)
    for name, write in slides.items():
        write(folder / "data" / f"{name}.svs", slide_pixels(SIDE, SIDE, seed=sorted(SEEDS).index(name)))
    rows = [f"{name}\tP-{name}\tdata/{name}.svs" for name in sorted(slides)]
    (folder / "data" / "slides.tsv").write_text("\n".join(["slide\tpatient\tfile", *rows]) + "\n")
    patients = "\t".join(f"P-{name}" for name in sorted(slides))
    values = "\t".join(str(number) for number in range(len(slides)))
    (folder / "data" / "expression.tsv").write_text(f"gene\t{patients}\nA\t{values}\nB\t{values}\n")
    cohort = {"slides": "data/slides.tsv", "expression": [{"path": "data/expression.tsv"}]}
    layouts = {"grid": {"size": 128, "min_sharpness": None}}
    (folder / "study.yaml").write_text(yaml.safe_dump(STUDY | {"cohorts": {"tiny": cohort}, "layouts": layouts}))
    code, text = snakemake(folder, "results/tiny/grid/manifest.tsv")
    assert code == 0, text[-5000:]
    made = {
        str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted((folder / "results" / "tiny" / "slides").rglob("*"))
        if path.is_file()
    }
    return read_table(folder / "results" / "tiny" / "grid" / "manifest.tsv").set_index("slide"), made


SEEDS = [*(f"good-{number:02d}" for number in range(GOOD)), *DAMAGE]


@pytest.mark.slow
def test_25_of_50_slides_are_left_out_and_the_others_are_as_if_alone(tmp_path):
    assert len(DAMAGE) == GOOD == 25
    good = {f"good-{number:02d}": write_svs for number in range(GOOD)}
    manifest, made = run(tmp_path / "all", good | {name: write for name, (write, _) in DAMAGE.items()})
    found = manifest.loc[list(DAMAGE), "code"].to_dict()
    assert found == {name: code for name, (_, code) in DAMAGE.items()}, manifest.loc[list(DAMAGE), "reason"].to_dict()
    assert (manifest.loc[list(DAMAGE), "status"] == "excluded").all()
    assert manifest.loc[list(DAMAGE), "reason"].str.len().min() > 20
    assert (manifest.loc[list(good), "status"] == "ok").all()
    alone, made_alone = run(tmp_path / "alone", good)
    assert alone.equals(manifest.loc[alone.index])
    assert made_alone == {path: made[path] for path in made_alone} and len(made_alone) >= 5 * GOOD
