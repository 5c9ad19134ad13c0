"""Every code that the package can write has plain words, and no words are left of a code that is gone."""

import ast
import re
from pathlib import Path

import histocarta
import pytest
from histocarta import heterogeneity, ledger_traits, tiling
from histocarta.codes import LEDGER, MESSAGES

MODULES = sorted(Path(histocarta.__file__).parent.glob("*.py"))
CODE = re.compile(r"(?<![\w-])[A-Z]-[A-Z]{2,}(?:-[A-Z]+)*(?![\w-])")
# Not codes: what is written in capitals with a hyphen elsewhere.
OTHER = {"H-DAB"}


def codes_of(module: Path) -> set[str]:
    """Codes in the texts of a module, f-strings among them, docstrings not."""
    tree = ast.parse(module.read_text())
    documented = (ast.Module, ast.ClassDef, ast.FunctionDef)
    docs = {id(node.body[0].value) for node in ast.walk(tree) if isinstance(node, documented) and has_doc(node)}
    texts = [node for node in ast.walk(tree) if isinstance(node, ast.Constant) and isinstance(node.value, str)]
    return {code for text in texts if id(text) not in docs for code in CODE.findall(text.value)} - OTHER


def has_doc(node) -> bool:
    return ast.get_docstring(node) is not None


EMITTED = set().union(*(codes_of(module) for module in MODULES if module.name != "codes.py"))


def test_the_codes_of_the_package_are_found():
    assert {"S-OPEN", "B-TYPE", "M-NAN", "E-NO-MODEL", "M-NOGPU", "B-STATUS"} <= EMITTED


def test_every_code_has_words():
    assert EMITTED - set(LEDGER) - set(MESSAGES) == set()


def test_no_words_without_a_code():
    known = {code for code in {**LEDGER, **MESSAGES} if CODE.fullmatch(code)}
    assert known - EMITTED == set()
    assert set(LEDGER) & set(MESSAGES) == set()


@pytest.mark.parametrize(
    "reasons",
    [
        (*tiling.REASONS, "elsewhere"),
        ledger_traits.CLASSES,
        ledger_traits.UNLABELLED,
        (*ledger_traits.TILES, "unmarked"),
        heterogeneity.REASONS,
    ],
    ids=["cells", "classes", "unlabelled", "tiles", "heterogeneity"],
)
def test_reasons_that_serve_as_codes_have_words(reasons):
    assert reasons and set(reasons) <= set(LEDGER)


def test_words_fit_a_figure():
    assert all(0 < len(words) <= 64 and words == words.strip() for words in LEDGER.values())
    assert len(set(LEDGER.values())) == len(LEDGER)
