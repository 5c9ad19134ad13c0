"""The slides of a GDC manifest, fetched by the workflow from a server that misbehaves."""

import hashlib
import uuid

import pytest
import yaml
from fault_server import serving
from slide_kit import slide_pixels, write_svs
from workflow_kit import snakemake

SLIDES = {
    f"TCGA-A2-A0T{k}-01Z-00-DX1": behaviour for k, behaviour in enumerate(["ok", "busy-once", "drops-once", "wrong"])
}
GOOD = [slide for slide, behaviour in SLIDES.items() if behaviour != "wrong"]


@pytest.fixture
def study(tmp_path):
    """A study of four slides, of which the server cannot send the last; it yields folder, server and slide files."""
    write_svs(tmp_path / "slide.svs", slide_pixels(1024, 1024))
    data = (tmp_path / "slide.svs").read_bytes()
    lines = ["id\tfilename\tmd5\tsize\tstate"]
    files = {}
    with serving() as server:
        for number, (slide, behaviour) in enumerate(SLIDES.items()):
            name, key = f"{slide}.A.svs", str(uuid.UUID(int=number))
            files[slide] = tmp_path / "data" / key / name
            server.files[key], server.behaviours[key] = data + slide.encode(), behaviour  # no two are alike
            md5 = hashlib.md5(server.files[key], usedforsecurity=False).hexdigest()
            lines.append(f"{key}\t{name}\t{md5}\t{len(server.files[key])}\treleased")
        (tmp_path / "manifest.txt").write_text("\n".join(lines) + "\n")
        (tmp_path / "expression.tsv").write_text(
            "trait\t" + "\t".join(name[:12] for name in SLIDES) + "\nA\t1\t2\t3\t4\n"
        )
        yield tmp_path, server, files


def write_study(folder, server, **downloads):
    study = {
        "study": "remote",
        "cohorts": {
            "remote": {
                "gdc_manifest": "manifest.txt",
                "slides_folder": "data",
                "expression": [{"path": "expression.tsv"}],
            }
        },
        "downloads": {"url": f"{server.root}/data/{{uuid}}", **downloads},
        "layouts": {"grid": {"size": 256, "min_sharpness": None}},
        "tasks": {"extremes": {"layout": "grid", "scheme": "one", "traits": ["A"]}},
        "splits": {"one": {}},
    }
    (folder / "study.yaml").write_text(yaml.safe_dump(study))
    return [f"results/remote/slides/{slide}/grid/tiles.json" for slide in SLIDES]


@pytest.mark.parametrize("keep", [True, False], ids=["slides kept", "slides deleted"])
def test_a_file_that_cannot_be_had_fails_alone_and_is_named(study, keep):
    folder, server, files = study
    targets = write_study(folder, server, keep_slides=keep)
    code, text = snakemake(folder, *targets)
    assert code == 1
    assert "D-MD5 Expected TCGA-A2-A0T3-01Z-00-DX1.A.svs to have " in text
    assert [(folder / path).exists() for path in targets] == [slide in GOOD for slide in SLIDES]
    assert [path.exists() for path in files.values()] == [keep and slide in GOOD for slide in SLIDES]
    # The file is mended on the server: the same command fetches it alone, and nothing is cut twice.
    server.behaviours.clear()
    server.requests.clear()
    code, text = snakemake(folder, *targets)
    assert code == 0, text
    assert {path for path, _ in server.requests} == {f"/data/{files[list(SLIDES)[-1]].parent.name}"}
    assert all((folder / path).exists() for path in targets)
    code, text = snakemake(folder, *targets)
    assert code == 0 and "Nothing to be done" in text
