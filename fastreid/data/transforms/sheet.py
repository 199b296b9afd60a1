from __future__ import annotations

from torch import Tensor
from torch.utils.data import Dataset
from torchvision.transforms import InterpolationMode
from torchvision.utils import make_grid

from ..collate import fast_batch_collator
from ..data_utils import read_image
from ..samplers.stream import StreamIndex
from .batch_stage import finish_batch
from .resize import resize
from .to_tensor import to_pixels

__all__ = ["augmentation_sheet"]


def augmentation_sheet(dataset: Dataset, *, num_images: int = 8, num_samples: int = 8, seed: int = 0) -> Tensor:
    """Draw what training sees: a row per image, first the image itself in the size of the others, then samples.

    Args:
        dataset: a training set, such as ``build_reid_train_loader(cfg).dataset``, with ``img_items``.
        num_images: rows; images evenly spaced over the set, at least 1 and at most all of them.
        num_samples: samples in a row, at least 1.
        seed: of the samples' randomness, at least 0.

    Returns:
        uint8 ``(3, H, W)``, RGB.

    Raises:
        ValueError: if a number is below its least, or the images have no common size.
    """
    for name, value, least in (("num_images", num_images, 1), ("num_samples", num_samples, 1), ("seed", seed, 0)):
        if value < least:
            raise ValueError(f"{name} must be >= {least}, got {value}")
    rows = min(num_images, len(dataset))
    cells = []
    for row in range(rows):
        index = row * len(dataset) // rows
        positions = range(row * num_samples, (row + 1) * num_samples)
        items = [dataset[StreamIndex(index, seed=seed, position=position)] for position in positions]
        images = finish_batch(fast_batch_collator(items), getattr(dataset, "batch_stages", {}))["images"]
        original = to_pixels(read_image(dataset.img_items[index][0]))
        size = images.shape[-2:]
        cells += [resize(original, size, InterpolationMode.BICUBIC), *images]
    return make_grid(fast_batch_collator(cells), nrow=1 + num_samples, padding=4, pad_value=255)
