"""What data sets have in common: their splits and their summary."""

from __future__ import annotations

import logging
import os
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

from tabulate import tabulate

from ..data_utils import read_image

__all__ = ["IMAGE_ENDINGS", "Dataset", "ImageDataset", "check_listed", "image_names"]

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
        unknown_options: names of what was left out of ``kwargs``.
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
        self.unknown_options = tuple(sorted(kwargs))
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
        """Train on query and gallery too, named ``<dataset_name>_test_<number>``, junk and distractors left out.

        An image that is in both is taken once; an unknown camera counts as number 0.
        """
        test = {item[0]: item for item in [*self.query, *self.gallery] if item[1] not in self._junk_pids}
        name = f"{self.dataset_name}_test"
        self._train = [
            *self.train,
            *((path, f"{name}_{pid}", f"{name}_{max(cam, 0)}", *rest) for path, pid, cam, *rest in test.values()),
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
