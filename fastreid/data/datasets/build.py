"""The registries of data sets: by name, and one's own images by path; and where they lie."""

from __future__ import annotations

import ast
import os
import re
from collections.abc import Iterable, Mapping
from typing import Any, Literal

from ...utils.registry import Registry

__all__ = [
    "DATASET_REGISTRY",
    "DATASET_SCHEME_REGISTRY",
    "build_dataset",
    "dataset_labels",
    "dataset_options",
    "dataset_root",
    "find_path",
    "parse_options",
    "pids_of_nobody",
]

DATASET_REGISTRY = Registry("DATASET")
"""Data sets, by the names in ``DATASETS.NAMES`` and ``DATASETS.TESTS``.

Called as ``Cls(root=folder, **options)``, with ``combineall=True`` among the options if ``DATASETS.COMBINEALL``, and
with what ``DATASETS.OPTIONS`` says of it. Has
``train``, ``query`` and ``gallery``: lists of ``(img_path, pid, camid)``. In ``train``, pids and camids are strings
``<dataset_name>_<number>``, so that several sets can be trained on together; elsewhere they are ints, and a camid below
0 says that no camera is known. Best derived from ``ImageDataset``, whose ``show_train`` and ``show_test`` log what was
found.
"""

DATASET_SCHEME_REGISTRY = Registry("DATASET_SCHEME")
"""Ways to read one's own images, by the text before the first ``:`` of a name such as ``csv:shop/train.csv``.

Called as ``function(path, name=label, root=folder, **options)`` with the text after that ``:``, the prefix of the
training pids, and the folder of all data sets. Returns what a class of ``DATASET_REGISTRY`` builds. A function may have
``junk_pids`` and ``distractor_pids``, as such a class.
"""


def build_dataset(
    name: str, *, label: str = "", root: str = "", chosen: Mapping[str, Any] | None = None, **options: Any
) -> Any:
    """Build the data set that an entry of ``DATASETS.NAMES`` or ``DATASETS.TESTS`` names.

    Args:
        name: a name in ``DATASET_REGISTRY``, or ``scheme:path`` with a name in ``DATASET_SCHEME_REGISTRY``.
        label: prefix of the training pids of a ``scheme:path``, see ``dataset_labels``; empty: as if it were alone.
        root: ``DATASETS.ROOT``.
        chosen: options that were chosen for this data set, see ``dataset_options``; it must know them.
        **options: passed on; those that it does not know are for others.

    Raises:
        KeyError: if nothing is registered under that name.
        ValueError: if there is no path after the ``:``, or it does not know an option that was chosen for it.
    """
    chosen = dict(chosen or {})
    options = options | chosen
    scheme, colon, path = name.partition(":")
    if colon:
        read = DATASET_SCHEME_REGISTRY.get(scheme)
        if not path:
            raise ValueError(f"{name!r} in DATASETS names no file or folder; write one after the colon")
        data = read(path, name=label or dataset_labels([name])[name], root=dataset_root(root), **options)
    else:
        data = DATASET_REGISTRY.get(name)(root=dataset_root(root), **options)
    unknown = sorted(set(chosen).intersection(getattr(data, "unknown_options", ())))
    if unknown:
        raise ValueError(
            f"DATASETS.OPTIONS.{name} has {', '.join(unknown)}, which {name} does not know; its options are the "
            "arguments of its class"
        )
    return data


def dataset_options(options: Mapping[str, Mapping[str, Any]], name: str) -> dict[str, Any]:
    """Return what ``DATASETS.OPTIONS`` says of a data set.

    Args:
        options: ``DATASETS.OPTIONS``, arguments by the names of the data sets.
        name: an entry of ``DATASETS.NAMES`` or ``DATASETS.TESTS``.

    Raises:
        KeyError: if ``options`` names something that is no data set.
        ValueError: if it has no arguments for one, but something else.
    """
    for key, value in options.items():
        if ":" not in key:
            DATASET_REGISTRY.get(key)
        if not isinstance(value, Mapping):
            raise ValueError(
                f"DATASETS.OPTIONS.{key} is {value!r}; write the name of an argument too, e.g. "
                f"DATASETS.OPTIONS.CUHK03.cuhk03_labeled False"
            )
    return dict(options.get(name, {}))


def parse_options(texts: Iterable[str]) -> dict[str, Any]:
    """Read what ``DATASETS.OPTIONS`` may say of a data set from a command line.

    Raises:
        ValueError: if a text is not ``key=value``.

    Example:
        >>> parse_options(["cuhk03_labeled=False", "split_id=3", "wildlife_folder=WildlifeReID-10k"])
        {'cuhk03_labeled': False, 'split_id': 3, 'wildlife_folder': 'WildlifeReID-10k'}
    """
    options = {}
    for text in texts:
        key, equals, value = text.partition("=")
        if not (key and equals):
            raise ValueError(f"an option of a data set is written key=value, got {text!r}")
        try:
            options[key] = ast.literal_eval(value)
        except (SyntaxError, ValueError):  # any text is a value
            options[key] = value
    return options


def dataset_labels(names: Iterable[str]) -> dict[str, str]:
    """Give every entry of ``DATASETS.NAMES`` or ``DATASETS.TESTS`` a short label of its own.

    A registered name is its own label. A ``scheme:path`` is called by the last part of its path, or by as many as it
    takes to tell all apart.

    Example:
        >>> dataset_labels(["Market1501", "csv:shop/test.csv"])
        {'Market1501': 'Market1501', 'csv:shop/test.csv': 'test.csv'}
        >>> list(dataset_labels(["csv:shop/test.csv", "csv:street/test.csv"]).values())
        ['shop-test.csv', 'street-test.csv']
    """
    parts = {name: re.split(r"[/\\]+", name.partition(":")[2].strip("/\\") or name) for name in names}
    for depth in range(1, max(map(len, parts.values()), default=0) + 1):
        labels = {name: "-".join(path[-depth:]) for name, path in parts.items()}
        if len(set(labels.values())) == len(labels):
            return labels
    return {name: name for name in parts}


def pids_of_nobody(name: str) -> frozenset[int]:
    """Return the pids that are no identity in the query and gallery of a data set: junk and distractors.

    Args:
        name: as for ``build_dataset``; of a name that is not registered nothing is known, and no pid returned.

    Example:
        >>> sorted(pids_of_nobody("Market1501")), sorted(pids_of_nobody("csv:shop/test.csv"))
        ([-1, 0], [])
    """
    scheme, colon, _ = name.partition(":")
    registry, key = (DATASET_SCHEME_REGISTRY, scheme) if colon else (DATASET_REGISTRY, name)
    found = registry.get(key) if key in registry else None
    return frozenset(getattr(found, "junk_pids", ())) | frozenset(getattr(found, "distractor_pids", ()))


def dataset_root(root: str = "") -> str:
    """Return the folder of all data sets, read anew at each call.

    Args:
        root: ``DATASETS.ROOT``. Where it is empty, ``$FASTREID_DATASETS`` counts, and without that ``datasets``.
    """
    return os.path.expanduser(root or os.environ.get("FASTREID_DATASETS") or "datasets")


def find_path(path: str, root: str, *, kind: Literal["file", "folder"]) -> str:
    """Return where a file or folder is: seen from the current folder or, if it is not there, from the root.

    Args:
        path: relative, absolute, or beginning with ``~``.
        root: as for ``dataset_root``.
        kind: what it must be; the other kind does not count.

    Raises:
        FileNotFoundError: if it is in neither; the message names both.
    """
    is_there = {"file": os.path.isfile, "folder": os.path.isdir}[kind]
    places = list(dict.fromkeys([os.path.expanduser(path), os.path.join(dataset_root(root), os.path.expanduser(path))]))
    for place in places:
        if is_there(place):
            return place
    looked = " and ".join(repr(os.path.abspath(place)) for place in places)
    raise FileNotFoundError(
        f"{path!r}, which DATASETS names, is not found: looked for the {kind} {looked}; correct the path, run from "
        "another folder, or set FASTREID_DATASETS or DATASETS.ROOT"
    )
