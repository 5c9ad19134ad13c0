"""The rules of the house, held by reading the code: thin scripts, a package that knows no workflow, no slow parse."""

import ast
import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
SCRIPTS = sorted((ROOT / "scripts").glob("*.py"))
PACKAGE = sorted((ROOT / "scripts" / "histocarta").rglob("*.py"))
RULES = [ROOT / "Snakefile", *sorted((ROOT / "rules").glob("*.smk"))]
SLOW = ("tensorflow", "keras", "jax", "cv2", "matplotlib", "lifelines", "sklearn", "statsmodels")


def test_there_are_scripts_and_modules_to_look_at():
    assert len(SCRIPTS) > 10 and len(PACKAGE) > 10


@pytest.mark.parametrize("script", SCRIPTS, ids=lambda path: path.name)
def test_a_script_is_glue(script):
    """A script unpacks, opens the log and calls one function: no def, no if, no for, at most 25 lines."""
    text = script.read_text()
    logic = (ast.FunctionDef, ast.If, ast.For, ast.While, ast.Try, ast.Lambda, ast.IfExp, ast.ListComp)
    assert not [node for node in ast.walk(ast.parse(text)) if isinstance(node, logic)]
    assert len(text.splitlines()) <= 25


@pytest.mark.parametrize("script", SCRIPTS, ids=lambda path: path.name)
def test_a_script_belongs_to_a_rule(script):
    assert any(f"../scripts/{script.name}" in rules.read_text() for rules in RULES)


@pytest.mark.parametrize("rules", RULES, ids=lambda path: path.name)
def test_a_rule_names_its_script_itself(rules):
    """Snakemake evaluates the directive when the job runs: of a loop's variable it would find the last value."""
    named = re.findall(r"^ +script:\n +(.*)$", rules.read_text(), re.MULTILINE)
    assert all(re.fullmatch(r'"\.\./scripts/\w+\.py"', name) for name in named)


@pytest.mark.parametrize("module", PACKAGE, ids=lambda path: path.name)
def test_the_package_does_not_know_the_workflow(module):
    tree = ast.parse(module.read_text())
    names = {node.id for node in ast.walk(tree) if isinstance(node, ast.Name)}
    imports = {alias.name for node in ast.walk(tree) if isinstance(node, ast.Import) for alias in node.names}
    imports |= {node.module or "" for node in ast.walk(tree) if isinstance(node, ast.ImportFrom)}
    assert "snakemake" not in names and not any(name.split(".")[0] == "snakemake" for name in imports)


@pytest.mark.parametrize("module", PACKAGE, ids=lambda path: path.name)
def test_a_module_opens_with_what_it_knows(module):
    assert ast.get_docstring(ast.parse(module.read_text())) or module.name == "__init__.py"


@pytest.mark.parametrize("module", PACKAGE, ids=lambda path: path.name)
def test_no_pickle_no_swallowed_error_no_global_seed(module):
    text = module.read_text()
    for word in (
        "import pickle",
        "except Exception",
        "except:",
        "np.random.seed",
        "random.seed(",
        "allow_pickle=True",
        "safe_mode=False",
    ):
        assert word not in text, word


def test_the_snakefile_imports_nothing_slow():
    """Every job parses the rules again: what they import must not load TensorFlow, OpenCV or the statistics."""
    imports = sorted(
        {line for rules in RULES for line in rules.read_text().splitlines() if line.startswith("from histocarta")}
    )
    assert imports
    check = "\n".join([*imports, "import sys", f"print([name for name in {SLOW!r} if name in sys.modules])"])
    loaded = subprocess.run([sys.executable, "-c", check], capture_output=True, text=True, check=True).stdout.strip()
    assert loaded == "[]"


@pytest.mark.parametrize("rules", RULES, ids=lambda path: path.name)
def test_rules_hold_no_lambda_and_no_numbered_input(rules):
    """Nor checkpoints, nor folders of files; a Zarr store is a folder by its format."""
    text = re.sub(r'directory\("[^"]*\.zarr"\)', "", rules.read_text())
    assert "lambda" not in text and "input[" not in text and "checkpoint " not in text and "directory(" not in text


@pytest.mark.parametrize("rules", RULES, ids=lambda path: path.name)
def test_a_rule_file_fits_on_a_few_screens(rules):
    limit = {"Snakefile": 60, "common.smk": 120}.get(rules.name, 200)
    assert len(rules.read_text().splitlines()) <= limit


@pytest.mark.parametrize("module", PACKAGE, ids=lambda path: path.name)
def test_a_module_holds_one_concept(module):
    assert len(module.read_text().splitlines()) <= 300, "look for the second concept inside"


@pytest.mark.parametrize("rules", RULES, ids=lambda path: path.name)
def test_every_script_rule_carries_the_version_of_its_stage(rules):
    """Snakemake sees no change of the package: without it results of older code would stay. A download has its MD5."""
    found = [part for part in re.split(r"^\s*rule\b", rules.read_text(), flags=re.MULTILINE) if "script:" in part]
    missing = [re.search(r"scripts/(\w+)\.py", part)[1] for part in found if "version=VERSION[" not in part]
    assert set(missing) <= {"download_slide"}


def test_every_script_rule_names_an_environment_a_log_and_a_benchmark():
    for rules in RULES:
        # A rule made from another (`use rule … with`) has its script and environment, and names a log of its own.
        text = re.sub(r"^use rule\b.*?(?=^\S|\Z)", "", rules.read_text(), flags=re.MULTILINE | re.DOTALL)
        assert len({text.count(f"{word}:\n") for word in ("script", "conda", "log", "benchmark")}) == 1, rules.name


def test_no_table_looks_like_a_benchmark():
    """Snakemake tries every rule one of whose outputs, logs or benchmarks ends as a file that it looks for does.

    Were benchmarks .tsv too, each manifest and each split that a job reads would be matched with all rules.
    """
    benchmarks = [ending for rules in RULES for ending in re.findall(r'benchmark:\n +f?".*(\.\w+)"', rules.read_text())]
    assert len(benchmarks) >= 20 and set(benchmarks) == {".txt"}


def test_environments_are_what_the_locks_say():
    sys.path.insert(0, str(ROOT / "envs"))
    import generate

    for name in generate.ENVIRONMENTS:
        assert (ROOT / "envs" / f"{name}.yaml").read_text() == generate.environment(name), "run: make generated"


@pytest.mark.parametrize("lock", ["requirements.lock", "requirements-gpu.lock"])
def test_locks_have_hashes_and_no_addresses(lock):
    text = (ROOT / lock).read_text()
    assert text.count("--hash=sha256:") > text.count("==") > 100
    assert "://" not in text and "file:" not in text


def test_no_two_test_modules_share_a_name():
    """pytest imports them by it: two of one name stop the whole run."""
    names = [path.name for path in (ROOT / "tests").rglob("test_*.py")]
    assert len(names) == len(set(names))
