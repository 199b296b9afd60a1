"""Why two images are alike: Grad-CAM of the similarity of their embeddings."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ...evaluation import inference_context
from ...utils.weights import unwrap_model
from .feature_maps import maps_seen, scale_to_one, sum_of_maps

__all__ = ["pair_grad_cam"]


def pair_grad_cam(
    model: nn.Module, query: Tensor, gallery: Tensor, *, fixed_lengths: bool = False
) -> tuple[Tensor, Tensor]:
    """Show in both images of each pair which places raise the cosine of the two embeddings.

    The map of an image is ``relu(sum_c a_c A_c)`` of its last feature map ``A`` ``(C, h, w)``, where ``a_c`` is the
    gradient of the cosine with respect to channel c, summed over all places. The mean, which the source takes, differs
    by a factor that goes when maps are scaled. Several feature maps, such as those of MGN's branches, are added before
    the relu.

    The model stays as it is: its modes, its gradients, and what requires one. It runs in eval mode, in its own dtype.

    Source: Selvaraju et al., "Grad-CAM: Visual Explanations from Deep Networks via Gradient-based Localization", ICCV
    2017, arXiv:1610.02391; of the similarity of two embeddings instead of a class score.

    Args:
        model: one whose embedding is a function of its last feature maps, see
            :func:`~fastreid.visualization.feature_maps.map_modules`.
        query: ``(1, 3, H, W)`` uint8 or float, RGB, 0..255.
        gallery: ``(N, 3, H, W)`` likewise, at least one; embedded as one batch with the query.
        fixed_lengths: take the lengths of the embeddings as given. The cosine does not change when an embedding becomes
            longer, so that its gradient shows what would turn the embedding, and of two images that are alike there
            may be nothing of it to show. With fixed lengths it is the gradient of the inner product: what the cosine
            is made of.

    Returns:
        Maps of the query, one for each pair, and of the gallery images: ``(N, h, w)`` float32 in [0, 1] on the CPU, the
        maximum of each at 1. A map of zeros: no place raises the cosine.

    Raises:
        TypeError: if the model has no backbone, or returns no tensor.
        ValueError: if the shapes do not fit, the model has no feature map, or its embedding does not depend on it.
    """
    if len(query) != 1 or len(gallery) < 1 or query.shape[1:] != gallery.shape[1:]:
        raise ValueError(
            "query must be (1, 3, H, W) and gallery (N, 3, H, W) of the same size with N >= 1, got "
            f"{tuple(query.shape)} and {tuple(gallery.shape)}"
        )
    model = unwrap_model(model)
    # the caller may be in inference mode, where nothing has a graph
    with torch.inference_mode(False), torch.enable_grad(), inference_context(model):
        with maps_seen(model, differentiable=True) as maps:
            embeddings = model(torch.cat([query, gallery.to(query)]).clone())  # (1 + N, D)
        if not isinstance(embeddings, Tensor):
            raise TypeError(f"pair_grad_cam needs embeddings, but the model returns {type(embeddings).__name__}")
        if not embeddings.requires_grad:
            raise ValueError(f"the embedding of {type(model).__name__} does not depend on its last feature maps")
        cosines = _cosines(embeddings[:1].float(), embeddings[1:].float(), fixed_lengths)  # (N,)
        pairs = [_maps_of_pair(cosine, maps, place) for place, cosine in enumerate(cosines, start=1)]
    both = scale_to_one(torch.cat(pairs))  # (2N, h, w): query, gallery, query, gallery ...
    return both[0::2].cpu(), both[1::2].cpu()


def _cosines(query: Tensor, gallery: Tensor, fixed_lengths: bool) -> Tensor:
    if not fixed_lengths:
        return F.cosine_similarity(query, gallery)
    lengths = (query.norm(dim=1) * gallery.norm(dim=1)).detach()  # (N,)
    return (query * gallery).sum(dim=1) / lengths.clamp_min(1e-12)


def _maps_of_pair(cosine: Tensor, maps: list[Tensor], place: int) -> Tensor:
    """Return the maps ``(2, h, w)`` of the query and of the gallery image in row ``place``, not yet scaled."""
    gradients = torch.autograd.grad(cosine, maps, retain_graph=True)
    rows = [0, place]
    seen = [
        torch.einsum("nc,nchw->nhw", gradient[rows].float().sum(dim=(2, 3)), one[rows].detach().float())
        for one, gradient in zip(maps, gradients, strict=True)
    ]
    return F.relu(sum_of_maps(seen))
