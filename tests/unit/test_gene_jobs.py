"""Many genes trained on one stream: each as if it were alone, also when killed, and found again by its name."""

import zipfile

import numpy as np
import pandas as pd
import pytest
from histocarta import gene_jobs, model_archives, training
from histocarta.errors import InputError
from histocarta.files import read_json, read_table, write_json, write_table
from histocarta.gene_jobs import genes_of_job, train_genes
from histocarta.gene_scores import score_gene, score_genes
from histocarta.models import load_model, save_no_model
from histocarta.predictions import gather_jobs
from histocarta.rois import validate_jobs
from learning_kit import MODEL, TRAINING, make_study, outputs_in, read_member

NAMES = ["one", "two", "three"]
SETTINGS = TRAINING | {"max_validations": 5, "learning_rate": 3e-2, "steps": 4, "min_delta": 0.0}


@pytest.fixture(scope="module")
def study(tmp_path_factory):
    """16 slides, of three genes: the colour, its opposite and noise; and a gene that does not vary, left out."""
    folder = tmp_path_factory.mktemp("genes")
    given = make_study(folder, rounds=1)
    labels = read_table(given["labels"])
    noise = np.random.default_rng(3).normal(size=len(labels))
    target = np.stack([labels["label"] - 0.5, 0.5 - labels["label"], noise], axis=1).astype(np.float32)
    table = labels.drop(columns="label").assign(sample=labels["slide"], value=list(2 * target + 5), target=list(target))
    write_table(table, given["labels"])
    genes = pd.DataFrame({"trait": ["one", "flat", "two", "three"], "status": "ok", "code": "", "reason": ""})
    genes.loc[1, ["status", "code", "reason"]] = ["excluded", "B-VARIANCE", "flat"]
    write_table(genes.assign(mean=5.0, sd=2.0), folder / "genes.tsv")
    keys = ("manifest", "labels", "summary", "audit", "seed")
    about = {key: given[key] for key in keys} | {"genes": str(folder / "genes.tsv"), "split": given["splits"][0]}
    return about | {"number": 1, "model": MODEL, "training": SETTINGS, "pooling": "avg"}


def outputs(folder):
    folder.mkdir(exist_ok=True)
    names = {"models": "models.zip", "sidecar": "models.json", "histories": "histories.csv"}
    return {key: str(folder / name) for key, name in names.items()} | {"state_dir": str(folder / "state")}


def train(study, folder, *, job=1, genes_per_job=4, **changes):
    made = outputs(folder)
    train_genes(**study | made | {"job": job, "genes_per_job": genes_per_job} | changes)
    return made


@pytest.fixture(scope="module")
def together(study, tmp_path_factory):
    return train(study, tmp_path_factory.mktemp("together"))


def weights_of(made, name):
    """The weights' bytes of a gene of an archive."""
    with zipfile.ZipFile(made["models"]) as archive, archive.open(f"{name}.keras") as member:
        return read_member(member, "model.weights.h5")


def history_of(made, name):
    table = pd.read_csv(made["histories"])
    return table[table["trait"] == name].drop(columns="trait").reset_index(drop=True)


def test_what_is_learnt_is_each_genes_own(study, together):
    facts = read_json(together["sidecar"])
    assert [(gene["trait"], gene["status"]) for gene in facts["genes"]] == [(name, "ok") for name in NAMES]
    found = {gene["trait"]: gene["validation"]["validation_slide_rho"] for gene in facts["genes"]}
    assert found["one"] > 0.5 and found["two"] > 0.5
    assert facts["task"] == "regression" and facts["genes"][0]["parts"]["train"] == {"slides": 8, "tiles": 96}


@pytest.mark.parametrize("job", [1, 2])
def test_a_gene_does_not_depend_on_those_beside_it(study, together, tmp_path, job):
    """Two jobs of two rows (one and flat, two and three) give what one job of all four gives, byte for byte."""
    made = train(study, tmp_path, job=job, genes_per_job=2)
    names = [gene["trait"] for gene in read_json(made["sidecar"])["genes"]]
    assert names == (["one"], ["two", "three"])[job - 1]
    for name in names:
        assert weights_of(made, name) == weights_of(together, name)
        pd.testing.assert_frame_equal(history_of(made, name), history_of(together, name))


def test_a_gene_is_trained_as_one_alone_is_on_the_same_tiles(study, together, tmp_path, monkeypatch):
    """Outside truth: training.train_rounds, whose loop is Keras' own, on the stream's order of tiles."""
    labels = read_table(study["labels"])
    alone = labels.assign(target=[values[1] for values in labels["target"]])
    write_table(alone, tmp_path / "labels.parquet")
    (tmp_path / "labels.json").write_text('{"trait": "two", "status": "ok", "code": "", "reason": ""}')
    seed = training.plan_round(
        read_table(study["manifest"]), labels, read_table(study["split"]),
        number=1, facts={"trait": "transcriptome", "status": "ok"}, seed=1, task=gene_jobs.TASK,
    ).tile_seed  # fmt: skip
    plain = training.plan_round
    monkeypatch.setattr(training, "plan_round", lambda *a, **k: training.replace(plain(*a, **k), tile_seed=seed))
    made = outputs_in(tmp_path / "alone", [1])
    training.train_rounds(
        **{key: study[key] for key in ("manifest", "audit", "seed", "model", "training", "pooling")}, **made,
        labels=str(tmp_path / "labels.parquet"), summary=str(tmp_path / "labels.json"), splits=[study["split"]],
        rounds=[1], task="regression", checkpoint_metric="slide_auc", threshold=None,
    )  # fmt: skip
    pd.testing.assert_frame_equal(pd.read_csv(made["histories"][0]), history_of(together, "two"))
    assert read_member(made["models"][0], "model.weights.h5") == weights_of(together, "two")


@pytest.mark.parametrize("pieces", [1, 3])
def test_the_size_of_the_pieces_changes_the_written_loss_only(study, together, tmp_path, monkeypatch, pieces):
    monkeypatch.setattr(gene_jobs, "PIECE_BYTES", pieces * 16 * 16 * 16 * 3)
    made = train(study, tmp_path)
    for name in NAMES:
        assert weights_of(made, name) == weights_of(together, name)
        pd.testing.assert_frame_equal(history_of(made, name), history_of(together, name), rtol=1e-6)


def test_a_killed_job_goes_on_and_ends_with_the_same_bytes(study, together, tmp_path, monkeypatch):
    """Killed after 2 validations of the first gene and 1 of the others."""
    plain, seen = gene_jobs.Validation.on_epoch_end, []

    def killed(self, epoch, logs=None):
        plain(self, epoch, logs)
        seen.append(self.what)
        if len(seen) == 4:
            raise KeyboardInterrupt

    monkeypatch.setattr(gene_jobs.Validation, "on_epoch_end", killed)
    with pytest.raises(KeyboardInterrupt):
        train(study, tmp_path)
    assert seen == ["one round 1", "two round 1", "three round 1", "one round 1"]
    monkeypatch.setattr(gene_jobs.Validation, "on_epoch_end", plain)
    made = train(study, tmp_path)
    for name in NAMES:
        assert weights_of(made, name) == weights_of(together, name)
        pd.testing.assert_frame_equal(history_of(made, name), history_of(together, name))
    assert not (tmp_path / "state").exists()


def test_tiles_are_decoded_once_for_all_genes(study, tmp_path, monkeypatch):
    """The stream and the validation tiles are opened once each, whatever the number of genes and validations."""
    opened = []
    for name in ("training_batches", "ordered_batches"):
        plain = getattr(gene_jobs.pipeline, name)
        monkeypatch.setattr(
            gene_jobs.pipeline, name, lambda *a, plain=plain, name=name, **k: opened.append(name) or plain(*a, **k)
        )
    train(study, tmp_path)
    assert sorted(opened) == ["ordered_batches", "training_batches"]


def test_a_gene_that_diverges_leaves_the_others_alone(study, together, tmp_path):
    labels = read_table(study["labels"])
    huge = [np.array([values[0], 1e30, values[2]], np.float32) for values in labels["target"]]
    write_table(labels.assign(target=huge), tmp_path / "labels.parquet")
    made = train(study | {"labels": str(tmp_path / "labels.parquet")}, tmp_path)
    fates = {gene["trait"]: gene["code"] for gene in read_json(made["sidecar"])["genes"]}
    assert fates == {"one": "", "two": "M-NAN", "three": ""}
    assert weights_of(made, "one") == weights_of(together, "one")
    assert "two.keras" not in zipfile.ZipFile(made["models"]).namelist()


def gathered(study, folder, jobs, **changes):
    scores, told = ([str(folder / f"{n}.{kind}") for n in range(len(jobs))] for kind in ("parquet", "json"))
    for made, path, fate in zip(jobs, scores, told, strict=True):
        score_genes(
            manifest=study["manifest"], models=[made["models"]], sidecars=[made["sidecar"]], scores=path, fates=fate,
            batch=8, precision="float32",
        )  # fmt: skip
    tables = {"predictions": "p.parquet", "measured": "m.parquet", "fates": "f.tsv"}
    tables = {key: str(folder / name) for key, name in tables.items()}
    gather_jobs(
        scores=scores, told=told, labels=study["labels"], genes=study["genes"], splits=[study["split"]],
        standardise=True, **tables | changes,
    )  # fmt: skip
    return tuple(read_table(path) for path in tables.values())


def test_the_table_of_all_jobs_holds_every_gene_on_the_scale_of_its_expression(study, together, tmp_path):
    jobs = [train(study, tmp_path / f"job-{job}", job=job, genes_per_job=2) for job in (1, 2)]
    predictions, measured, fates = gathered(study, tmp_path, jobs)
    whole = gathered(study, tmp_path, [together])
    pd.testing.assert_frame_equal(predictions, whole[0])
    pd.testing.assert_frame_equal(measured, whole[1])
    assert list(measured.columns) == ["slide", *NAMES] and fates["code"].tolist() == ["", "B-VARIANCE", "", ""]
    mean = predictions[predictions["round"].astype(int) == 0].set_index("slide")
    assert np.corrcoef(mean["one"], mean["two"])[0, 1] < -0.5
    with model_archives.unpacked(together["models"], names=["two"], near=tmp_path / "x") as (path,):
        model = load_model(path)
    slides = read_table(study["manifest"]).assign(n_tiles=12)
    tiles = gene_jobs.pipeline.ordered_batches(slides, size=16, batch=8).map(lambda tile, _: tile)
    expected = model.predict(tiles, verbose=0).reshape(16, 12).mean(axis=1) * 2 + 5
    assert mean.loc[slides["slide"], "two"].to_numpy() == pytest.approx(expected, rel=1e-5)


def test_regions_are_predicted_by_the_mean_of_their_tiles_in_rounds_that_tested_them(study, together, tmp_path):
    """Regions of two tiles each on every slide; the one on a test slide counts, on the scale of the expression."""
    slides = read_table(study["manifest"])["slide"]
    where = pd.DataFrame({"roi": np.repeat(np.arange(16), 2), "slide": np.repeat(slides, 2), "section": "x"})
    where = where.assign(row=np.tile([0, 1], 16), col=np.tile([3, 0], 16))
    write_table(where, tmp_path / "placed.parquet")
    score_genes(
        manifest=study["manifest"], models=[together["models"]], sidecars=[together["sidecar"]],
        scores=str(tmp_path / "s.parquet"), fates=str(tmp_path / "s.json"), batch=8, precision="float32",
        placed=str(tmp_path / "placed.parquet"), regions=str(tmp_path / "regions.parquet"),
    )  # fmt: skip
    found = read_table(tmp_path / "regions.parquet").set_index("roi")
    assert list(found) == [*NAMES, "round"] and len(found) == 16
    with model_archives.unpacked(together["models"], names=["two"], near=tmp_path / "x") as (path,):
        model = load_model(path)
    whole = read_table(study["manifest"]).assign(n_tiles=12)
    tiles = gene_jobs.pipeline.ordered_batches(whole, size=16, batch=8).map(lambda tile, _: tile)
    scores = model.predict(tiles, verbose=0)[:, 0].reshape(16, 12)
    np.testing.assert_allclose(found["two"], scores[:, [3, 5]].mean(axis=1), atol=1e-5)  # a row holds five tiles
    rng = np.random.default_rng(0)
    rois = pd.DataFrame({"slide": slides, "section": [f"x{n % 2}" for n in range(16)], "x_px": 0.0, "y_px": 0.0})
    truth = 2 * scores[:, [3, 5]].mean(axis=1) + 5
    write_table(rois.assign(two=truth + rng.normal(0, 1e-3, 16)), tmp_path / "rois.parquet")
    write_table(where.assign(section=rois["section"].repeat(2).to_numpy()), tmp_path / "placed.parquet")
    split = read_table(study["split"]).assign(part=["test"] * 12 + ["train"] * 4)
    write_table(split, tmp_path / "split.tsv")
    files = {"table": "t.tsv", "parquet_table": "t.parquet", "markers": "m.parquet"}
    validate_jobs(
        rois=str(tmp_path / "rois.parquet"), placed=str(tmp_path / "placed.parquet"),
        regions=[str(tmp_path / "regions.parquet")], genes=study["genes"], splits=[str(tmp_path / "split.tsv")],
        **{key: str(tmp_path / name) for key, name in files.items()}, standardise=True,
    )  # fmt: skip
    table = read_table(tmp_path / "t.parquet").set_index("trait")
    assert table.index.tolist() == NAMES and table.loc["two", "n"] == 12
    assert table.loc["two", "slope"] == pytest.approx(1.0, abs=0.02) and table.loc["one", "reason"]


def test_a_gene_without_any_model_is_named_with_its_reason(study, tmp_path):
    few = TRAINING | {"learning_rate": 1e30, "steps": 2}
    made = train(study, tmp_path, training=few)
    predictions, measured, fates = gathered(study, tmp_path, [made])
    assert predictions.empty and measured.empty
    assert fates["code"].tolist() == ["E-NO-MODEL", "B-VARIANCE", "E-NO-MODEL", "E-NO-MODEL"]
    assert fates["reason"][0].startswith("M-NAN")


def test_one_model_is_taken_out_by_its_name(together, tmp_path):
    model_archives.extract_model(models=together["models"], trait="two", model=str(tmp_path / "two.keras"))
    assert read_member(tmp_path / "two.keras", "model.weights.h5") == weights_of(together, "two")
    with pytest.raises(InputError, match=r"I-MODEL Expected a model of thre in .*, found none; nearest: three"):
        model_archives.extract_model(models=together["models"], trait="thre", model=str(tmp_path / "x.keras"))
    (tmp_path / "cut.zip").write_bytes(b"PK")
    with pytest.raises(InputError, match=r"I-MODEL Expected an archive of models at .*cut\.zip"):
        model_archives.extract_model(models=tmp_path / "cut.zip", trait="two", model=str(tmp_path / "x.keras"))


def test_a_job_has_its_share_of_the_genes_in_their_order():
    genes = pd.DataFrame({"trait": list("abcde"), "status": ["ok", "excluded", "ok", "ok", "ok"]})
    shares = [genes_of_job(genes, job=job, genes_per_job=2)["trait"].tolist() for job in (1, 2, 3, 4)]
    assert shares == [["a"], ["c", "d"], ["e"], []]


def test_a_gene_with_models_of_its_own_scores_as_from_the_archive(study, together, tmp_path):
    """The second of its two rounds has no model, and no row."""
    files = [str(tmp_path / f"round-{number}.keras") for number in (1, 2)]
    model_archives.extract_model(models=together["models"], trait="two", model=files[0])
    save_no_model(files[1])
    write_json({"status": "ok", "scale": {"mean": 5.0, "sd": 2.0}}, tmp_path / "labels.json")
    score_gene(
        manifest=study["manifest"], summary=str(tmp_path / "labels.json"), models=files, trait="two", batch=8,
        scores=str(tmp_path / "alone.parquet"), precision="float32",
    )  # fmt: skip
    alone = read_table(tmp_path / "alone.parquet").set_index("slide")
    predictions = gathered(study, tmp_path, [together])[0]
    mean = predictions[predictions["round"] == 1].set_index("slide")["two"]
    assert set(alone["round"]) == {1} and alone["two"].to_numpy() == pytest.approx(
        mean[alone.index].to_numpy(), rel=1e-5
    )
