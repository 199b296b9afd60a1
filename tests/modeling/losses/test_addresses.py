from __future__ import annotations

import subprocess
import sys

import pytest

IMPORTS = {
    "from the modules": (
        "from fastreid.modeling.losses.triplet_loss import triplet_loss\n"
        "from fastreid.modeling.losses.focal_loss import focal_loss\n"
        "from fastreid.modeling.losses.circle_loss import pairwise_circleloss, pairwise_cosface\n"
        "from fastreid.modeling.losses.cross_entroy_loss import cross_entropy_loss, log_accuracy"
    ),
    "module, then package": (
        "import fastreid.modeling.losses.triplet_loss, fastreid.modeling.losses.focal_loss\n"
        "from fastreid.modeling.losses import *"
    ),
    "package, then module": (
        "from fastreid.modeling import losses\n"
        "import fastreid.modeling.losses.triplet_loss, fastreid.modeling.losses.cross_entropy_loss\n"
        "import fastreid.modeling.losses.focal_loss\n"
        "triplet_loss, cross_entropy_loss = losses.triplet_loss, losses.cross_entropy_loss\n"
        "focal_loss = losses.focal_loss"
    ),
}


@pytest.mark.parametrize("order", IMPORTS)
def test_the_functions_are_functions_in_any_order_of_imports(order):
    check = "assert triplet_loss.__code__ and cross_entropy_loss.__code__ and focal_loss.__code__"
    subprocess.run([sys.executable, "-c", f"{IMPORTS[order]}\n{check}"], check=True, timeout=120)
