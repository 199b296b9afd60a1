"""Every public data set in a few files of a few bytes, in each of its layouts, and what is to be read of them."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

Content = str | Callable[[Path], None]
Label = tuple[str, int | str, int | str]  # path below the data set's folder, pid, camid


@dataclass(frozen=True)
class Layout:
    """A layout of a data set.

    Args:
        name: the data set.
        folder: its folder below the root.
        files: its images, below ``folder``.
        others: other files: path below ``folder`` -> text, or what writes the file.
        train: what is read of them; pid and camid without the prefix.
        query, gallery: likewise.
    """

    name: str
    folder: str
    files: tuple[str, ...]
    train: tuple[Label, ...] = ()
    query: tuple[Label, ...] = ()
    gallery: tuple[Label, ...] = ()
    others: Mapping[str, Content] = field(default_factory=dict)

    def write(self, root: Path) -> Path:
        """Write it below ``root``; return its folder."""
        place = root / self.folder
        for name in self.files:
            (place / name).parent.mkdir(parents=True, exist_ok=True)
            (place / name).write_bytes(b"not read")
        for name, content in self.others.items():
            (place / name).parent.mkdir(parents=True, exist_ok=True)
            if isinstance(content, str):
                (place / name).write_bytes(content.encode())
            else:
                content(place / name)
        return place


def write_car_annotations(path: Path) -> None:
    """Write ``cars_annos.mat`` of four images, as MATLAB stores an array of structures."""
    from scipy.io import savemat

    cars = [
        ("car_ims/000001.jpg", 1, 0),
        ("car_ims/000002.jpg", 98, 1),
        ("car_ims/000003.jpg", 99, 0),
        ("car_ims/000004.jpg", 196, 1),
    ]
    structures = np.empty((1, len(cars)), dtype=[("relative_im_path", "O"), ("class", "O"), ("test", "O")])
    for place, (image, number, test) in enumerate(cars):
        structures[0, place] = (image, np.uint8(number), np.uint8(test))
    savemat(path, {"annotations": structures})


_PATHS = {"train.txt": "images/a/1.jpg,4\nimages/b/2.jpg, 7\n", "test.txt": "images\\c\\3.jpg,9\n"}
_PATHS_READ = {
    "files": ("images/a/1.jpg", "images/b/2.jpg", "images/c/3.jpg"),
    "others": _PATHS,
    "train": (("images/a/1.jpg", 4, 0), ("images/b/2.jpg", 7, 0)),
    "query": (("images/c/3.jpg", 9, -1),),
}
_EBAY = "image_id class_id super_class_id path\n"
_IN_SHOP = (
    "3\nimage_name item_id evaluation_status\n"
    "img/WOMEN/Dresses/id_00000002/02_1_front.jpg          id_00000002 train\r\n"
    "img/MEN/Denim/id_00000080/01_1_front.jpg id_00000080 query\n"
    "img/MEN/Denim/id_00000080/01_2_side.jpg id_00000080 gallery\n"
)
_IN_SHOP_FILES = (
    "img/WOMEN/Dresses/id_00000002/02_1_front.jpg",
    "img/MEN/Denim/id_00000080/01_1_front.jpg",
    "img/MEN/Denim/id_00000080/01_2_side.jpg",
)


def _in_shop(list_name: str, images: str = "") -> Layout:
    train, query, gallery = (f"{images}{name}" for name in _IN_SHOP_FILES)
    return Layout(
        "InShop",
        "InShop",
        files=(train, query, gallery),
        others={list_name: _IN_SHOP},
        train=((train, 2, 0),),
        query=((query, 80, -1),),
        gallery=((gallery, 80, -1),),
    )


LAYOUTS = [
    Layout(
        "AirportALERT",
        "AirportALERT",
        files=("cam1/11001/0001.jpg", "cam2/11002/0002.jpg"),
        others={"filepath.txt": "cam1\\11001\\0001.jpg\r\ncam1\\11000\\0003.jpg\r\ncam2/11002/0002.jpg\r\n"},
        train=(("cam1/11001/0001.jpg", 11001, "cam1"), ("cam2/11002/0002.jpg", 11002, "cam2")),
    ),
    Layout(
        "iLIDS",
        "iLIDS",
        files=("person001/cam1_person001_00317.png", "person001/cam2_person001_00002.png", "loose_1.png"),
        train=(
            ("person001/cam1_person001_00317.png", "person001", "cam1"),
            ("person001/cam2_person001_00002.png", "person001", "cam2"),
        ),
    ),
    Layout(
        "PKU",
        "PKUv1a_128x48",
        files=("001_01_01.png", "114_02_08.png", "readme.txt"),
        train=(("001_01_01.png", 1, 1), ("114_02_08.png", 114, 2)),
    ),
    Layout(
        "PRAI",
        "PRAI-1581",
        files=("images/00000003_0002_00000007.jpg", "images/00001580_0001_00000001.jpg"),
        train=(
            ("images/00000003_0002_00000007.jpg", 3, 2),
            ("images/00001580_0001_00000001.jpg", 1580, 1),
        ),
    ),
    Layout(
        "PRID",
        "prid_2011",
        files=("slim_train/person_0001/a_0001.png", "slim_train/b/person_0749/b_0002.png"),
        train=(
            ("slim_train/b/person_0749/b_0002.png", 749, "b"),
            ("slim_train/person_0001/a_0001.png", 1, "a"),
        ),
    ),
    Layout(
        "GRID",
        "underground_reid",
        files=("images/0001_1_25004_107_32_106_221.jpeg", "images/0000_6_1_2.jpeg", "images/0250_8_1_2.jpeg"),
        train=(("images/0001_1_25004_107_32_106_221.jpeg", 1, 1), ("images/0250_8_1_2.jpeg", 250, 8)),
    ),
    Layout(
        "GRID",
        "underground_reid",
        files=("probe/0001_1_1.jpeg", "gallery/0001_2_1.jpeg", "gallery/0000_2_2.jpeg"),
        train=(("probe/0001_1_1.jpeg", 1, 1), ("gallery/0001_2_1.jpeg", 1, 2)),
    ),
    Layout(
        "SAIVT",
        "SAIVT-SoftBio",
        files=("cropped_images/001/001-0001-c3-01.jpeg", "cropped_images/150/150-0001-c8.jpeg"),
        train=(
            ("cropped_images/001/001-0001-c3-01.jpeg", 1, "c3"),
            ("cropped_images/150/150-0001-c8.jpeg", 150, "c8"),
        ),
    ),
    Layout(
        "SenseReID",
        "SenseReID",
        files=("test_gallery/00001_01.jpg", "test_prob/00001_00.jpg"),
        train=(("test_gallery/00001_01.jpg", 1, 1), ("test_prob/00001_00.jpg", 1, 0)),
    ),
    Layout(
        "SenseReID",
        "SenseReID",
        files=("test_gallery/00001_01.jpg", "test_probe/00001_00.jpg"),
        train=(("test_gallery/00001_01.jpg", 1, 1), ("test_probe/00001_00.jpg", 1, 0)),
    ),
    Layout(
        "SYSU_mm",
        "SYSU-MM01",
        files=tuple(f"cam{camera}/0007/0001.jpg" for camera in range(1, 7)),
        train=tuple((f"cam{camera}/0007/0001.jpg", 7, f"cam{camera}") for camera in (1, 2, 4, 5)),
    ),
    Layout(
        "Thermalworld",
        "thermalworld_rgb",
        files=("001/0001.jpg", "001/0002.jpg", "408/0001.jpg"),
        train=(("001/0001.jpg", 1, 0), ("001/0002.jpg", 1, 0), ("408/0001.jpg", 408, 0)),
    ),
    Layout(
        "PeS3D",
        "3DPeS",
        files=("001/1.bmp", "192/2.bmp"),
        train=(("001/1.bmp", 1, 0), ("192/2.bmp", 192, 0)),
    ),
    Layout(
        "CAVIARa",
        "CAVIARa",
        files=("0001001.jpg", "0072010.jpg"),
        train=(("0001001.jpg", 1, 0), ("0072010.jpg", 72, 0)),
    ),
    Layout(
        "VIPeR",
        "VIPeR",
        files=("cam_a/000_45.bmp", "cam_b/000_90.bmp"),
        train=(("cam_a/000_45.bmp", 0, "cam_a"), ("cam_b/000_90.bmp", 0, "cam_b")),
    ),
    *(
        Layout(
            "LPW",
            folder,
            files=("scen1/view1/1/0.jpg", "scen2/view1/1/0.jpg", "scen3/view4/2/0.jpg"),
            train=(
                ("scen1/view1/1/0.jpg", "1-1", "1-view1"),
                ("scen2/view1/1/0.jpg", "2-1", "2-view1"),
                ("scen3/view4/2/0.jpg", "3-2", "3-view4"),
            ),
        )
        for folder in ("pep_256x128/data_slim", "pep_256x128")
    ),
    Layout(
        "Shinpuhkan",
        "shinpuhkan",
        files=("001/camera04/001_01_04_0001.jpg", "024_02_16_0001.jpg"),
        train=(("001/camera04/001_01_04_0001.jpg", 1, 4), ("024_02_16_0001.jpg", 24, 16)),
    ),
    Layout(
        "WildTrackCrop",
        "Wildtrack_crop_dataset",
        files=("crop/1/02_00000135.png", "crop/313/06_00000135.png"),
        train=(("crop/1/02_00000135.png", 1, 2), ("crop/313/06_00000135.png", 313, 6)),
    ),
    Layout(
        "cuhkSYSU",
        "cuhk_sysu",
        files=("cropped_images/p11422_s16929_1.jpg", "cropped_images/p11423_s3_1.jpg"),
        train=(("cropped_images/p11422_s16929_1.jpg", 11422, 0), ("cropped_images/p11423_s3_1.jpg", 11423, 0)),
    ),
    Layout(
        "OccludedDuke",
        "Occluded_Duke",
        files=("bounding_box_train/0001_c2_f0046302.jpg", "query/0005_c2_f1.jpg", "bounding_box_test/0002_c8_f1.jpg"),
        others={"train.list": "of the authors", "query.list": "", "gallery.list": ""},
        train=(("bounding_box_train/0001_c2_f0046302.jpg", 1, 1),),
        query=(("query/0005_c2_f1.jpg", 5, 1),),
        gallery=(("bounding_box_test/0002_c8_f1.jpg", 2, 7),),
    ),
    Layout(
        "OccludedREID",
        "OccludedREID",
        files=("query/001_01.jpg", "gallery/001_01.jpg"),
        query=(("query/001_01.jpg", 1, -1),),
        gallery=(("gallery/001_01.jpg", 1, -1),),
    ),
    Layout(
        "OccludedREID",
        "Occluded_REID",
        files=("occluded_body_images/200/200_01.tif", "whole_body_images/200/200_05.tif"),
        query=(("occluded_body_images/200/200_01.tif", 200, -1),),
        gallery=(("whole_body_images/200/200_05.tif", 200, -1),),
    ),
    *(
        Layout(
            "PartialREID",
            folder,
            files=(
                "partial_body_images/001_001.jpg",
                "whole_body_images/001_001.jpg",
                "occluded_body_images/001_1.jpg",
            ),
            query=(("partial_body_images/001_001.jpg", 1, -1),),
            gallery=(("whole_body_images/001_001.jpg", 1, -1),),
        )
        for folder in ("Partial_REID", "Partial-REID_Dataset")
    ),
    Layout(
        "PartialiLIDS",
        "PartialiLIDS",
        files=("query/001_1.jpg", "gallery/001_2.jpg"),
        query=(("query/001_1.jpg", 1, -1),),
        gallery=(("gallery/001_2.jpg", 1, -1),),
    ),
    Layout(
        "PartialiLIDS",
        "Partial_iLIDS",
        files=("Probe/119.jpg", "Gallery/119.jpg"),
        query=(("Probe/119.jpg", 119, -1),),
        gallery=(("Gallery/119.jpg", 119, -1),),
    ),
    Layout(
        "CUB",
        "CUB_200_2011",
        files=("images/001.Black_footed_Albatross/B_1.jpg", "images/100.Pelican/P.jpg", "images/101.Pelican/Q.jpg"),
        others={
            "images.txt": "1 001.Black_footed_Albatross/B_1.jpg\n2 100.Pelican/P.jpg\n3 101.Pelican/Q.jpg\n",
            "image_class_labels.txt": "1 1\n2 100\n3 101\n",
        },
        train=(("images/001.Black_footed_Albatross/B_1.jpg", 1, 0), ("images/100.Pelican/P.jpg", 100, 0)),
        query=(("images/101.Pelican/Q.jpg", 101, -1),),
    ),
    Layout(
        "Cars196",
        "Cars_196",
        files=tuple(f"car_ims/00000{number}.jpg" for number in range(1, 5)),
        others={"cars_annos.mat": write_car_annotations},
        train=(("car_ims/000001.jpg", 1, 0), ("car_ims/000002.jpg", 98, 0)),
        query=(("car_ims/000003.jpg", 99, -1), ("car_ims/000004.jpg", 196, -1)),
    ),
    Layout(
        "SOP",
        "Stanford_Online_Products",
        files=("bicycle_final/1_0.JPG", "bicycle_final/1_1.JPG", "sofa_final/2_0.JPG"),
        others={
            "Ebay_train.txt": f"{_EBAY}1 1 1 bicycle_final/1_0.JPG\n2 1 1 bicycle_final/1_1.JPG\n",
            "Ebay_test.txt": f"{_EBAY}59552 11319 1 sofa_final/2_0.JPG\n",
        },
        train=(("bicycle_final/1_0.JPG", 1, 0), ("bicycle_final/1_1.JPG", 1, 0)),
        query=(("sofa_final/2_0.JPG", 11319, -1),),
    ),
    Layout("CUB", "CUB_200_2011", **_PATHS_READ),
    Layout("Cars196", "Cars_196", **_PATHS_READ),
    Layout("SOP", "Stanford_Online_Products", **_PATHS_READ),
    _in_shop("list_eval_partition.txt"),
    _in_shop("Eval/list_eval_partition.txt"),
    _in_shop("Eval/list_eval_partition.txt", "Img/"),
    Layout(
        "InShop",
        "InShop",
        files=("a/1.jpg", "b/2.jpg", "b/3.jpg"),
        others={"train.txt": "a/1.jpg,1\n", "test_query.txt": "b/2.jpg,2\n", "test_gallery.txt": "b/3.jpg,2\n"},
        train=(("a/1.jpg", 1, 0),),
        query=(("b/2.jpg", 2, -1),),
        gallery=(("b/3.jpg", 2, -1),),
    ),
]
