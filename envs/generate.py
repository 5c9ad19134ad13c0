"""Write envs/*.yaml: for each environment the pins of its packages and of all that they need, read from the locks."""

import re
from pathlib import Path

from packaging.markers import Marker

HERE = Path(__file__).parent
PYTHON = "3.11"
SLIDES = ["openslide-python", "openslide-bin", "pyvips", "pyvips-binary", "opencv-python-headless", "simplejpeg",
          "tifffile", "imagecodecs", "google-crc32c", "pyarrow", "pandas", "scipy", "scikit-learn", "pillow",
          "matplotlib", "tqdm", "pydantic"]  # fmt: skip
DOWNLOADS = ["httpx", "tenacity", "tqdm"]
STATISTICS = ["numpy", "pandas", "pyarrow", "scipy", "scikit-learn", "statsmodels", "lifelines", "gseapy", "matplotlib",
              "pillow", "opencv-python-headless", "jinja2", "tqdm", "pydantic", "anndata", "scikit-image", "umap-learn",
              "simplejpeg", "google-crc32c"]  # fmt: skip
TENSORFLOW = ["tensorflow", "keras", "tensorboard", "numpy", "pandas", "pyarrow", "scikit-learn", "google-crc32c",
              "scipy", "matplotlib", "tqdm", "pydantic"]  # fmt: skip
ENVIRONMENTS = {
    "downloads": ("requirements.lock", DOWNLOADS),
    "slides": ("requirements.lock", SLIDES),
    "statistics": ("requirements.lock", STATISTICS),
    "tensorflow": ("requirements.lock", TENSORFLOW),
    "tensorflow-gpu": ("requirements-gpu.lock", TENSORFLOW),
}


def read_lock(path: Path) -> tuple[dict[str, str], dict[str, set[str]]]:
    """Pins that hold for Linux and :data:`PYTHON` (name → ``name==version``), and who needs whom (parent → children).

    The parents stand in the lock's own ``# via`` notes.
    """
    platform = {
        "python_version": PYTHON, "python_full_version": f"{PYTHON}.9", "sys_platform": "linux",
        "platform_system": "Linux", "platform_machine": "x86_64", "os_name": "posix", "implementation_name": "cpython",
        "platform_python_implementation": "CPython", "extra": "",
    }  # fmt: skip
    pins: dict[str, str] = {}
    children: dict[str, set[str]] = {}
    current = None
    for line in path.read_text().splitlines():
        if entry := re.match(r"([a-z0-9][a-z0-9._-]*)==(\S+?)(?: ; (.+?))?(?: \\)?$", line):
            name, version, marker = entry.groups()
            current = name if marker is None or Marker(marker).evaluate(platform) else None
            if current:
                pins[name] = f"{name}=={version}"
        elif current and (note := re.match(r"    #(?: via)?\s+([a-z0-9][a-z0-9._-]*)(?:\[.*\])?(?: \(.*\))?$", line)):
            children.setdefault(note.group(1), set()).add(current)
    return pins, children


def closure(wanted: list[str], children: dict[str, set[str]]) -> set[str]:
    """``wanted`` and everything that they need."""
    found, queue = set(), list(wanted)
    while queue:
        name = queue.pop()
        if name not in found:
            found.add(name)
            queue.extend(children.get(name, ()))
    return found


def environment(name: str) -> str:
    """The text of ``envs/{name}.yaml``."""
    lock, wanted = ENVIRONMENTS[name]
    pins, children = read_lock(HERE.parent / lock)
    lines = [
        f"# Generated from {lock} by envs/generate.py; do not edit.",
        "channels:",
        "  - conda-forge",
        "  - nodefaults",
        "dependencies:",
        f"  - python ={PYTHON}",
        "  - pip",
        "  - pip:",
    ]
    return (
        "\n".join(
            [*lines, *(f"      - {pins[package]}" for package in sorted(closure(wanted, children)) if package in pins)]
        )
        + "\n"
    )


def main() -> None:
    """Write all environments."""
    for name in ENVIRONMENTS:
        (HERE / f"{name}.yaml").write_text(environment(name))


if __name__ == "__main__":
    main()
