"""What data sets have in common: their splits, their summary, and reading labels from file names."""

from __future__ import annotations

import functools
import logging
import os
import re
from collections.abc import Callable, Hashable, Iterable, Mapping, Sequence
from typing import Any, ClassVar

from tabulate import tabulate

from ..data_utils import read_image
from .build import dataset_root

__all__ = ["IMAGE_ENDINGS", "Dataset", "FileNameDataset", "ImageDataset", "check_listed", "image_names"]

logger = logging.getLogger(__name__)

Item = tuple[Any, ...]
Items = list[Item]
IMAGE_ENDINGS = (".jpg", ".jpeg", ".png", ".bmp", ".webp", ".tif", ".tiff")
_MOST_NAMED = 5  # missing images in an error


class Dataset:
    """The three splits of a re-identification data set; the base class.

    Args:
        train, query, gallery: lists of ``(img_path, pid, camid)``, or functions that return them, called when the split
            is first used.
        transform: applied to an image by ``ImageDataset.__getitem__``.
        mode: the split that ``data``, ``len()`` and indexing mean: ``train``, ``query`` or ``gallery``.
        combineall: train on ``query`` and ``gallery`` too, see ``combine_all``.
        verbose: log the summaries.
        **kwargs: options meant for another data set of the same run; each is logged as unknown.

    Attributes:
        dataset_name: prefix of the training pids and camids.
        _junk_pids: pids that ``combine_all`` leaves out.

    Raises:
        ValueError: if ``mode`` is none of the three.
    """

    dataset_name: str = ""
    _junk_pids: Sequence[int] = ()

    def __init__(
        self,
        train: Items | Callable[[], Items],
        query: Items | Callable[[], Items],
        gallery: Items | Callable[[], Items],
        transform: Callable | None = None,
        mode: str = "train",
        combineall: bool = False,
        verbose: bool = True,
        **kwargs: Any,
    ) -> None:
        if mode not in ("train", "query", "gallery"):
            raise ValueError(f"mode must be train, query or gallery, got {mode!r}")
        if kwargs:
            logger.warning("%s does not know the options %s; left out", type(self).__name__, ", ".join(sorted(kwargs)))
        self._train = train
        self._query = query
        self._gallery = gallery
        self.transform = transform
        self.mode = mode
        self.combineall = combineall
        self.verbose = verbose
        if combineall:
            self.combine_all()

    @property
    def train(self) -> Items:
        """The training items; pids and camids are strings ``<dataset_name>_<number>``."""
        if callable(self._train):
            self._train = self._train()
        return self._train

    @property
    def query(self) -> Items:
        """The query items; pids and camids are ints, and a camid below 0 says that no camera is known."""
        if callable(self._query):
            self._query = self._query()
        return self._query

    @property
    def gallery(self) -> Items:
        """The gallery items; labelled as the queries."""
        if callable(self._gallery):
            self._gallery = self._gallery()
        return self._gallery

    @property
    def data(self) -> Items:
        """The items of the split ``mode``."""
        return getattr(self, self.mode)

    def __len__(self) -> int:
        return len(self.data)

    def __getitem__(self, index: int) -> Any:
        return self.data[index]

    def parse_data(self, data: Sequence[Item]) -> tuple[int, int]:
        """Return the number of different pids and of different camids."""
        return len({item[1] for item in data}), len({item[2] for item in data})

    def get_num_pids(self, data: Sequence[Item]) -> int:
        """Return the number of different pids."""
        return self.parse_data(data)[0]

    def get_num_cams(self, data: Sequence[Item]) -> int:
        """Return the number of different camids."""
        return self.parse_data(data)[1]

    def show_summary(self) -> None:
        """Log the size of every split."""
        self._log_table({"train": self.train, "query": self.query, "gallery": self.gallery})

    def combine_all(self) -> None:
        """Train on query and gallery too, named ``<dataset_name>_test_<number>``, junk and distractors left out."""
        test = (item for item in [*self.query, *self.gallery] if item[1] not in self._junk_pids)
        name = f"{self.dataset_name}_test"
        self._train = [
            *self.train,
            *((path, f"{name}_{pid}", f"{name}_{cam}", *rest) for path, pid, cam, *rest in test),
        ]

    def check_before_run(self, required_files: str | Iterable[str]) -> None:
        """Make sure that files or folders are there.

        Raises:
            RuntimeError: naming the first that is not.
        """
        for path in [required_files] if isinstance(required_files, str) else required_files:
            if not os.path.exists(path):
                raise RuntimeError(
                    f'"{path}" is not found, which {type(self).__name__} needs; put it there, or set FASTREID_DATASETS '
                    "(or DATASETS.ROOT) to the folder of your data sets"
                )

    def _log_table(self, splits: Mapping[str, Sequence[Item]]) -> None:
        if not self.verbose:
            return
        rows = []
        for split, items in splits.items():
            num_pids, num_cams = self.parse_data(items)
            rows.append([split, num_pids, len(items), num_cams])
        table = tabulate(rows, headers=["subset", "# ids", "# images", "# cameras"], tablefmt="pipe", numalign="left")
        logger.info("=> Loaded %s in csv format: \n%s", self._title, table)

    @property
    def _title(self) -> str:
        """What the log calls the data set."""
        return type(self).__name__


class ImageDataset(Dataset):
    """A data set of single images; the base of a data set of your own.

    Example:
        >>> ImageDataset([("a.jpg", "mine_1", "mine_0")], [], []).train
        [('a.jpg', 'mine_1', 'mine_0')]
    """

    def __getitem__(self, index: int) -> tuple[Any, ...]:
        """Return ``(image, pid, camid, img_path)`` of split ``mode``; the image is PIL, or what ``transform`` made."""
        img_path, pid, camid = self.data[index][:3]
        image = read_image(img_path)
        return image if self.transform is None else self.transform(image), pid, camid, img_path

    def show_train(self) -> None:
        """Log the size of the training split."""
        self._log_table({"train": self.train})

    def show_test(self) -> None:
        """Log the sizes of query and gallery."""
        self._log_table({"query": self.query, "gallery": self.gallery})


class FileNameDataset(ImageDataset):
    """A data set whose file names tell identity and camera; a subclass only declares how.

    Folders are listed, sorted, when a split is first used. ``pattern`` sees the name of a file, never its folder.

    Args:
        root: folder of all data sets; empty for ``$FASTREID_DATASETS``, or ``datasets``.
        **kwargs: ``mode``, ``transform``, ``combineall`` and ``verbose`` of ``Dataset``.

    Attributes:
        dataset_name: prefix of the training pids and camids.
        folder: the data set's folder below the root. Where it is missing, the root itself may be the data set.
        url: where the data set can be had.
        splits: split -> its folder or folders inside ``folder``; a split left out is empty.
        pattern: must match a file name from its start, with groups ``pid`` and ``cam`` of digits.
        first_camera: the number in the names that becomes camid 0.
        junk_pids: identities that are dropped from all splits.
        distractor_pids: identities of the gallery that are nobody; ``combine_all`` leaves them out.
        statistics: split -> (identities, images) as published, after dropping junk; a difference is logged.
        extensions: endings of the images' names, lower case; other files are left out.

    Raises:
        RuntimeError: if a folder is missing (when built), or holds no image of the data set (when its split is used).
    """

    folder: ClassVar[str]
    pattern: ClassVar[re.Pattern[str]]
    url: ClassVar[str] = ""
    splits: Mapping[str, str | tuple[str, ...]] = {}
    first_camera: ClassVar[int] = 1
    junk_pids: ClassVar[frozenset[int]] = frozenset()
    distractor_pids: ClassVar[frozenset[int]] = frozenset()
    statistics: Mapping[str, tuple[int, int]] = {}
    extensions: ClassVar[tuple[str, ...]] = IMAGE_ENDINGS

    def __init__(self, root: str = "", **kwargs: Any) -> None:
        self.root = dataset_root(root)
        self.dataset_dir = self._find_folder()
        self._found: dict[str, tuple[int, int]] = {}
        train, query, gallery = (functools.partial(self._list_split, split) for split in ("train", "query", "gallery"))
        super().__init__(train, query, gallery, **kwargs)

    @property
    def _junk_pids(self) -> frozenset[int]:
        return self.junk_pids | self.distractor_pids

    def show_train(self) -> None:
        """Log the size of the training split, and how it differs from the published one."""
        super().show_train()
        self._log_differences("train")

    def show_test(self) -> None:
        """Log the sizes of query and gallery, and how they differ from the published ones."""
        super().show_test()
        self._log_differences("query", "gallery")

    def _folders(self, split: str) -> tuple[str, ...]:
        folders = self.splits.get(split, ())
        return (folders,) if isinstance(folders, str) else tuple(folders)

    def _wanted(self) -> list[str]:
        """Return what must be in the data set's folder."""
        return [folder for split in self.splits for folder in self._folders(split)]

    def _find_folder(self) -> str:
        """Return the folder that holds the splits' folders."""
        wanted = self._wanted()
        usual = os.path.join(self.root, self.folder)
        missing = {place: _missing_from(place, wanted) for place in (usual, self.root)}
        if not missing[usual]:
            return usual
        if not missing[self.root]:
            logger.warning("%s: no folder %s; taking %s itself for it", type(self).__name__, usual, self.root)
            return self.root
        raise RuntimeError(self._missing_message(wanted, missing))

    def _missing_message(self, wanted: list[str], missing: Mapping[str, list[str]]) -> str:
        looked = "\n".join(
            f'  "{os.path.abspath(place)}" is not found'
            if not os.path.isdir(place)
            else f'  "{os.path.abspath(place)}" is there, but has no {", ".join(names)}'
            for place, names in missing.items()
        )
        layout = "\n".join(f"    {self.folder}/{name}" + ("" if name.endswith(".txt") else "/") for name in wanted)
        variable = os.environ.get("FASTREID_DATASETS")
        return (
            f"The data set {type(self).__name__} is missing. Looked in:\n{looked}\n"
            f"Wanted below the folder of all data sets:\n{layout}\n"
            + (f"Get it from {self.url}\n" if self.url else "")
            + f"The folder of all data sets is {self.root!r} (FASTREID_DATASETS is {variable or 'not set'}); "
            "to use another, set the environment variable FASTREID_DATASETS or the config key DATASETS.ROOT."
        )

    def _list_split(self, split: str) -> Items:
        """List the items of a split, junk left out."""
        if split not in self.splits:
            return []
        items = [item for item in self._parse_names(split) if item[1] not in self.junk_pids]
        if not items:
            folders = " or ".join(os.path.join(self.dataset_dir, folder) for folder in self._folders(split))
            raise RuntimeError(
                f"{type(self).__name__}: {split} is empty: no image in {folders} has a name like "
                f"{self.pattern.pattern!r} with one of the endings {', '.join(self.extensions)} and is not junk; "
                "unpack the data set there, or set FASTREID_DATASETS or DATASETS.ROOT to another folder"
            )
        for path, _, camid in items:
            if camid < 0:  # which means elsewhere that no camera is known
                raise ValueError(
                    f"{path}: its name says camera {camid + self.first_camera}, but {type(self).__name__} counts "
                    f"cameras from {self.first_camera}; rename it, or set first_camera"
                )
        self._found[split] = (self.get_num_pids(items), len(items))
        if split in ("query", "gallery"):
            return items
        return [(path, self._name_label(pid), self._name_label(camid)) for path, pid, camid in items]

    def _parse_names(self, split: str) -> Items:
        """Return ``(img_path, pid, camid)`` of every image of a split; log how many names tell neither."""
        folders = [os.path.join(self.dataset_dir, folder) for folder in self._folders(split)]
        names = [(folder, name) for folder in folders for name in image_names(folder, self.extensions)]
        matches = [(os.path.join(folder, name), self.pattern.match(name)) for folder, name in names]
        strange = [path for path, match in matches if match is None]
        if strange:
            logger.warning(
                "%s: left out %d of %d images of %s, whose names do not tell identity and camera, such as %s",
                type(self).__name__,
                len(strange),
                len(matches),
                split,
                strange[0],
            )
        items = [(path, int(match["pid"]), int(match["cam"]) - self.first_camera) for path, match in matches if match]
        for path, pid, camid in items:
            if max(abs(pid), abs(camid)) >= 2**63:
                raise ValueError(f"{path}: its identity or camera has more digits than fit into 64 bits; rename it")
        return items

    def _name_label(self, number: Hashable) -> str:
        return f"{self.dataset_name}_{number}"

    def _log_differences(self, *splits: str) -> None:
        different = [
            f"{split} has {self._found[split][0]} identities and {self._found[split][1]} images "
            f"(published: {self.statistics[split][0]} and {self.statistics[split][1]})"
            for split in splits
            if split in self._found and split in self.statistics and self._found[split] != tuple(self.statistics[split])
        ]
        if different and self.verbose:
            logger.info("%s is not the published set: %s", type(self).__name__, "; ".join(different))


def _missing_from(place: str, wanted: Iterable[str]) -> list[str]:
    return [name for name in wanted if not os.path.exists(os.path.join(place, name))]


def image_names(folder: str, extensions: tuple[str, ...] = IMAGE_ENDINGS) -> list[str]:
    """Return the names of the images in ``folder``, sorted; hidden files (such as those of macOS) are left out."""
    files = (entry.name for entry in os.scandir(folder) if not entry.is_dir())
    return sorted(name for name in files if name.lower().endswith(extensions) and not name.startswith("."))


def check_listed(table: str, paths: Sequence[str], *, folder: str) -> None:
    """Make sure that the images which a file lists are there.

    Args:
        table: the file, for the error.
        paths: the images.
        folder: what the paths in the file are relative to, for the error.

    Raises:
        FileNotFoundError: with the number of those that are not there, and the first of them.
    """
    missing = [path for path in paths if not os.path.isfile(path)]
    if missing:
        more = ", ..." if len(missing) > _MOST_NAMED else ""
        raise FileNotFoundError(
            f"{len(missing)} of {len(paths)} images that {table} lists are not there: "
            f"{', '.join(missing[:_MOST_NAMED])}{more}; paths are relative to {folder}"
        )
