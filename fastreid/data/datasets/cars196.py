from __future__ import annotations

from collections.abc import Iterator

from .build import DATASET_REGISTRY
from .listed import PATH_AND_LABEL, PATHS_AND_LABELS, ListedDataset

__all__ = ["Cars196"]


@DATASET_REGISTRY.register()
class Cars196(ListedDataset):
    """196 models of cars; the first 98 are trained on, the others tested.

    No cameras are known and there is no gallery: ``TEST.PROTOCOL leave_one_out`` with ``TEST.EVALUATOR
    RetrievalEvaluator`` looks for each image among all others. Lists ``train.txt`` and ``test.txt`` of lines
    ``path,label``, as FastReID v1.3 read them, count before ``cars_annos.mat`` of the archive.

    Source: Krause et al., "3D Object Representations for Fine-Grained Categorization", ICCV 2013 workshops; the split
    is that of Oh Song et al., "Deep Metric Learning via Lifted Structured Feature Embedding", CVPR 2016,
    arXiv:1511.06452.
    """

    dataset_name = "cars196"
    folder = "Cars_196"
    url = "https://ai.stanford.edu/~jkrause/cars/car_dataset.html"
    licence = "published for research"
    lists = {"train": "cars_annos.mat", "query": "cars_annos.mat"}
    more_files = ("car_ims",)
    pattern = PATH_AND_LABEL
    example = "car_ims/000001.jpg,1"
    training_pids = range(1, 99)
    layouts = (PATHS_AND_LABELS, {})
    # split -> (identities, images)
    statistics = {"train": (98, 8054), "query": (98, 8131)}

    def _lines(self, path: str) -> Iterator[str]:
        """Yield the annotations as lines ``path,label`` too."""
        if not path.endswith(".mat"):
            yield from super()._lines(path)
            return
        from scipy.io import loadmat

        for annotation in loadmat(path)["annotations"].ravel():
            yield f"{annotation['relative_im_path'].item()},{int(annotation['class'].item())}"
