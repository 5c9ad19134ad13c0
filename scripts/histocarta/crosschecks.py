"""What settings ask of one another, of the disk and of the file they stand in: no key can be checked for it alone."""

from collections.abc import Iterable
from pathlib import Path

import yaml

from histocarta.settings import CHOOSING, Study
from histocarta.tasks import TASKS


def disagreements(study: Study) -> list[str]:
    """One line for everything in a study that is right by itself and wrong beside the rest."""
    return [
        *_votes(study),
        *_positive_tiles(study),
        *_repeated_sets(study),
        *_absent_weights(study),
        *_external(study),
        *_batches(study),
        *_one_slide(study),
        *_regions(study),
        *_annotations(study),
        *_markers(study),
        *_spots(study),
    ]


def repeated_keys(files: Iterable[str | Path]) -> list[str]:
    """One line for every key that stands twice in its section of a YAML file: the parser keeps the last in silence."""
    problems = []
    for path in files:
        try:
            root = yaml.compose(Path(path).read_text(encoding="utf-8"), Loader=yaml.SafeLoader)
        except (yaml.YAMLError, UnicodeDecodeError):
            continue  # whoever reads the file says what is wrong with it
        problems += [
            f"Expected every key once in {path}, found {fault}" for fault in _twice(root, place=(), seen=set())
        ]
    return problems


def _twice(node: yaml.Node | None, *, place: tuple[str, ...], seen: set[int]) -> list[str]:
    """Keys that stand twice in the mappings under ``node``; ``seen`` keeps an alias from being walked again."""
    if node is None or id(node) in seen or isinstance(node, yaml.ScalarNode):
        return []
    seen.add(id(node))
    if isinstance(node, yaml.SequenceNode):
        members = [(str(number), child) for number, child in enumerate(node.value)]
    else:
        members = [(str(key.value), child) for key, child in node.value]
    lines: dict[str, list[int]] = {}
    if isinstance(node, yaml.MappingNode):
        for key, _ in node.value:
            lines.setdefault(str(key.value), []).append(key.start_mark.line + 1)
    found = [
        f"{'.'.join((*place, key))!r} in lines {' and '.join(map(str, numbers))}; keep one"
        for key, numbers in lines.items()
        if len(numbers) > 1
    ]
    return found + [fault for key, child in members for fault in _twice(child, place=(*place, key), seen=seen)]


def _votes(study: Study) -> list[str]:
    """Votes that no round can cast; where a patient is left out, the cohort decides how many rounds there are."""
    problems = []
    for name, task in study.tasks.items():
        scheme = study.splits.get(task.scheme)
        best = task.combining(seed=study.seed).get("best", 1)
        if scheme and not scheme.leave_out and best > scheme.rounds:
            problems.append(
                f"Expected at most the {scheme.rounds} rounds of splits.{task.scheme} at tasks.{name}.vote.best, found "
                f"{best}; lower it, or draw more rounds"
            )
    return problems


def _positive_tiles(study: Study) -> list[str]:
    """Sets of traits whose tiles are not positive or negative, so that nothing can be counted."""
    return [
        f"Expected a task with positive tiles at heterogeneity.{number}.task, found {entry.task}; name extremes"
        for number, entry in enumerate(study.heterogeneity)
        if entry.task in study.tasks and TASKS[entry.task].slide_score != "share"
    ]


def _repeated_sets(study: Study) -> list[str]:
    """Sets of traits that are measured twice; their order changes the folder's name and nothing else."""
    first: dict[tuple, int] = {}
    problems = []
    for number, entry in enumerate(study.heterogeneity):
        earlier = first.setdefault((entry.task, frozenset(entry.traits)), number)
        if earlier != number:
            problems.append(
                f"Expected every set of traits once in heterogeneity, found {'+'.join(entry.traits)} of task "
                f"{entry.task} at {number} and at {earlier}; remove one"
            )
    return problems


def _external(study: Study) -> list[str]:
    """Cohorts external to one that is not there, is external itself, or has no models to be held against them."""
    problems = []
    for name, cohort in study.cohorts.items():
        own = cohort.external_to
        if own is None:
            continue
        trained = [other for other, one in study.cohorts.items() if one.external_to is None]
        if own not in trained:
            problems.append(
                f"Expected one of the cohorts that are trained on ({', '.join(trained) or 'none'}) at "
                f"cohorts.{name}.external_to, found {own!r}"
            )
        if "regression" not in study.tasks and "spots" not in study.tasks:
            problems.append(
                f"Expected a task regression or spots where cohorts.{name} is external to {own}, found neither"
            )
    return problems


def _batches(study: Study) -> list[str]:
    """Batches that are shifted by all samples have no test samples of their own."""
    shifted = "regression" in study.tasks and study.tasks["regression"].labels.reference_batch
    if not shifted or study.choice("test_batch_shift") != "own" or study.choice("percentiles_fitted_on") != "all":
        return []
    return [
        "Expected percentiles_fitted_on: non_test in fidelity_overrides beside labels.reference_batch, found all: the "
        "test samples would move what the models learn; set it, or test_batch_shift: non_test"
    ]


def _one_slide(study: Study) -> list[str]:
    """Layouts of one scheme choose a patient's slide by their own numbers of tiles, and the split holds one of them."""
    used: dict[str, set[str]] = {}
    for task in study.tasks.values():
        used.setdefault(task.scheme, set()).add(task.layout)
    sources = {layout.of for layout in study.layouts.values()}
    both = [
        f"Expected tasks.{name} on a layout that keeps to a region where a cohort has one_slide, found {task.layout}, "
        "whose slides are chosen from later, by their tiles in the region; give it a layout of its own"
        for name, task in study.tasks.items()
        if name != "regions" and task.layout in sources and any(c.one_slide for c in study.cohorts.values())
    ]
    return both + [
        f"Expected one layout for splits.{scheme} where a cohort has one_slide, found {', '.join(sorted(layouts))}; "
        "give each layout a scheme of its own, or exclude the other slides in the sheet"
        for scheme, layouts in used.items()
        if len(layouts) > 1 and any(cohort.one_slide for cohort in study.cohorts.values())
    ]


def _regions(study: Study) -> list[str]:
    """Layouts that take the tiles of a region that no task finds, or of no layout, or that say what their tiles are."""
    regions, problems = study.tasks.regions, []
    for name, layout in study.layouts.items():
        where, source = f"layouts.{name}", study.layouts.get(layout.of)
        if layout.of is None:
            extra = [key for key in CHOOSING if getattr(layout, key) != type(layout).model_fields[key].default]
            problems += [f"Expected the key of beside {', '.join(extra)} in {where}, found none"] if extra else []
            continue
        # What repeats the other's is right: so the settings that a report prints can be read again.
        own = sorted(
            key
            for key in layout.model_fields_set - set(CHOOSING)
            if source and getattr(layout, key) != getattr(source, key)
        )
        if own:
            problems.append(
                f"Expected only {', '.join(CHOOSING)} in {where}, found {', '.join(own)}; {layout.of} has it"
            )
        if regions is None or layout.region not in regions.traits:
            known = ", ".join(regions.traits) if regions else "none: there is no task regions"
            problems.append(f"Expected a region of tasks.regions ({known}) at {where}.region, found {layout.region!r}")
        elif layout.of != regions.layout:
            found = f"{layout.of!r}; its tiles are those that the classifier scores"
            problems.append(f"Expected the layout of tasks.regions ({regions.layout}) at {where}.of, found {found}")
    if regions and regions.layout in study.layouts and study.layouts[regions.layout].of:
        problems.append(f"Expected a layout of its own tiles at tasks.regions.layout, found {regions.layout!r}")
    return problems


def _markers(study: Study) -> list[str]:
    """Markers of regions that are to be held against a panel that the study does not name."""
    return [
        f"Expected one of the panels ({', '.join(study.panels) or 'none'}) at cohorts.{name}.roi_values.scores."
        f"{marker}, found {panel!r}"
        for name, cohort in study.cohorts.items()
        for marker, panel in cohort.roi_values.scores.items()
        if panel not in study.panels
    ]


def _annotations(study: Study) -> list[str]:
    """Cohorts in which a classifier of regions has nothing to learn from."""
    if "regions" not in study.tasks:
        return []
    return [
        f"Expected annotations in cohorts.{name}, from which the task regions learns, found none; name the sheet, or "
        "leave out the task and let the others read all tissue"
        for name, cohort in study.cohorts.items()
        if cohort.external_to is None and cohort.annotations is None
    ]


def _spots(study: Study) -> list[str]:
    """Tiles on spots where there are none, spots that no window is cut on, and folds that nothing learns by."""
    on_spots = {name for name, layout in study.layouts.items() if layout.sites == "spots"}
    problems = [
        f"Expected sections in one of the cohorts, on whose spots layouts.{name} lays its tiles, found none"
        for name in sorted(on_spots)
        if not any(cohort.sections for cohort in study.cohorts.values())
    ]
    if on_spots and "spots" not in study.tasks:
        problems.append(f"Expected the task spots where layouts.{min(on_spots)} lays its tiles on spots, found none")
    for name, task in study.tasks.items():
        if name == "spots" and task.layout in study.layouts and task.layout not in on_spots:
            problems.append(f"Expected a layout with sites: spots at tasks.spots.layout, found {task.layout!r}")
        if name == "spots" and task.slides_layout:
            problems += _slides_layout(study, task.slides_layout, own=task.layout)
        problems += [
            f"Expected {needed} in cohorts.{cohort_name} for tasks.{name}, found none"
            for cohort_name, cohort in study.cohorts.items()
            for needed in ["sections" if name == "spots" else "expression"]
            if name != "regions" and cohort.external_to is None and not getattr(cohort, needed)
        ]
        if name != "spots" and (scheme := study.splits.get(task.scheme)) and scheme.inner:
            problems.append(f"Expected a scheme without inner at tasks.{name}.scheme, found {task.scheme}")
    return problems


def _slides_layout(study: Study, name: str, *, own: str) -> list[str]:
    """A layout of whole slides that models of spots cannot read, and kinds of disease without a column."""
    if name not in study.layouts:
        return [
            f"Expected one of the layouts ({', '.join(study.layouts)}) at tasks.spots.slides_layout, found {name!r}"
        ]
    layouts = [study.layouts[one] for one in (name, own) if one in study.layouts]
    problems = [
        f"Expected {key} {getattr(layouts[-1], key)} in layouts.{name}, as in layouts.{own}, found "
        f"{getattr(layouts[0], key)}"
        for key in ("size", "mpp", "stain")
        if getattr(layouts[0], key) != getattr(layouts[-1], key)
    ]
    if study.tasks["spots"].subtypes and not study.subtype:
        problems.append("Expected a column of the clinical sheet at subtype beside tasks.spots.subtypes, found none")
    return problems


def _absent_weights(study: Study) -> list[str]:
    """Files of weights, or models, that are named and not there."""
    named = {f"{name}.model.weights": task.model.weights for name, task in study.tasks.items()}
    if "regression" in study.tasks and (at_once := study.tasks["regression"].transcriptome):
        named["regression.transcriptome.features"] = at_once.features
    return [
        f"Expected a file of weights at tasks.{key}, found nothing at {path}; correct the path, or use null for a "
        "random start"
        for key, path in named.items()
        if path and not Path(path).is_file()
    ]
