"""A test set is opened for one model: again for the same, for another only when told to."""

import pytest
from histocarta.errors import InputError
from histocarta.files import read_json
from histocarta.openings import digest_of, open_test_set


def opened(folder, models, *, reopen=False):
    return open_test_set(folder / "register.json", test_set="the cohort far", models=models, reopen=reopen)


@pytest.fixture
def models(tmp_path):
    """Two models of two files each."""
    for name in ("a1", "a2", "b1"):
        (tmp_path / name).write_text(name)
    return [[str(tmp_path / name) for name in names] for names in (("a1", "a2"), ("b1", "a2"))]


def test_the_same_models_may_be_scored_again_and_the_first_opening_stays(tmp_path, models):
    first = opened(tmp_path, models[0])
    again = opened(tmp_path, models[0])
    assert first == again == read_json(tmp_path / "register.json")
    assert first["openings"][0]["models_sha256"] == digest_of(models[0])


def test_other_models_are_refused_and_nothing_is_written(tmp_path, models):
    first = opened(tmp_path, models[0])
    with pytest.raises(InputError, match=r"^E-OPENED Expected the models for which the cohort far was opened on .*"):
        opened(tmp_path, models[1])
    assert read_json(tmp_path / "register.json") == first


def test_told_to_reopen_the_record_has_both(tmp_path, models):
    first = opened(tmp_path, models[0])
    second = opened(tmp_path, models[1], reopen=True)
    assert second["openings"][:1] == first["openings"] and len(second["openings"]) == 2
    assert opened(tmp_path, models[1]) == second  # without being told: they are the last
    with pytest.raises(InputError, match="E-OPENED"):
        opened(tmp_path, models[0])  # going back is choosing, too


def test_the_digest_knows_the_order_of_the_files(models):
    assert digest_of(models[0]) != digest_of(models[0][::-1])
