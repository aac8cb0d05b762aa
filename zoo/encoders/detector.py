"""Objects that a detection network of torchvision finds in a picture."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Annotated, Any, ClassVar

import numpy as np
import torch
from pydantic import Field
from torch import Tensor
from torch.nn.utils.rnn import pad_sequence

from zoo.encoders.cnn import known_by, read_weights, weights_file, weights_of
from zoo.encoders.loading import strict
from zoo.encoders.pictures import place
from zoo.encoders.references import Name, note, stored
from zoo.parts import ImageEncoder
from zoo.registry import register
from zoo.types import Inputs, Sample, View

FAMILIES = ("fasterrcnn", "maskrcnn", "keypointrcnn")
"""Networks of two steps: boxes are proposed, then each is described by a vector and classified."""


def choose_weights(network: str, weights: str | None) -> Any:
    """What torchvision calls the weights of a detector; see :func:`zoo.encoders.cnn.weights_of`."""
    from torchvision import models

    return weights_of("detector", models.detection, FAMILIES, network, weights)


def build_detector(network: str, weights: str | None, size: int) -> Any:
    """The network in eval mode, with its weights.

    Raises:
        ConfigError: unknown network or weights; weights that can't be had or don't fit.
    """
    from torchvision import models

    known = Name(f"{network} {weights}")
    chosen = stored(known) or choose_weights(network, weights)
    # torchvision trains its own weights with frozen batch statistics, but for version 2
    more: dict[str, Any] = {"min_size": size, "max_size": 2 * size}
    if chosen is not None and not network.endswith("_v2"):
        from torchvision.ops.misc import FrozenBatchNorm2d

        more["norm_layer"] = FrozenBatchNorm2d
    with strict(f"detector: {network} can't be built"):
        model = models.get_model(network, weights=None, weights_backbone=None, **more)
    if chosen is not None:
        tensors = read_weights(network, chosen)
        note(known, weights_file(chosen))
        with strict(f"detector: {network} can't take the weights {weights}"):
            model.load_state_dict(tensors)
    return model.eval().requires_grad_(False)


@register("image_encoder", "detector")
class Detector(ImageEncoder):
    """The objects found by a two-step detector, best first; the first region is the whole picture.

    Regions (B, R, width), R the most that a picture of the batch has: what the network's box head
    makes of each box that is left in the end. Pooled (B, width): that of the whole picture. The
    network is never trained; with ``frozen: true`` each picture is looked at once.

    Cites: ren-etal-2015-faster

    Args:
        network: a detection network of torchvision's, ``fasterrcnn_…`` or ``maskrcnn_…``.
        weights: a name of torchvision's, as ``DEFAULT``; or a file with the whole network's
            state_dict; null: untrained.
        size: the shorter side of a picture as the network sees it, in pixels; the longer one is at
            most twice that.
        most: objects of a picture that are used.
        threshold: the probability that an object needs.

    Raises:
        ConfigError: unknown network or weights; weights that can't be had or don't fit.
    """

    example: ClassVar[dict[str, Any]] = {
        "network": "fasterrcnn_mobilenet_v3_large_320_fpn",
        "weights": None,
        "size": 64,
    }

    def __init__(
        self,
        *,
        network: str = "fasterrcnn_resnet50_fpn",
        weights: str | None = "DEFAULT",
        size: Annotated[int, Field(ge=64, le=2048)] = 480,
        most: Annotated[int, Field(ge=1, le=100)] = 10,
        threshold: Annotated[float, Field(ge=0, le=1)] = 0.5,
    ) -> None:
        super().__init__()
        self.network = build_detector(network, weights, size)
        self.network.roi_heads.score_thresh = threshold
        self.network.roi_heads.detections_per_img = most
        self.size, self.most, self.threshold = size, most, threshold
        self.width: int = self.network.roi_heads.box_predictor.cls_score.in_features

    @classmethod
    def loaded(cls, settings: Mapping[str, Any]) -> dict[str, str]:
        """The weights named in the settings, with their file's name or SHA-256."""
        network = settings.get("network", "fasterrcnn_resnet50_fpn")
        weights = settings.get("weights", "DEFAULT")
        return known_by(choose_weights(network, weights), network, weights)

    def train(self, mode: bool = True) -> Detector:
        super().train(mode)
        self.network.eval()
        return self

    def prepare(self, sample: Sample) -> Tensor | None:
        """The whole picture, (3, H, W) uint8, not larger than the network sees it."""
        if sample.picture is None:
            return None
        image = sample.picture.open()
        scale = self.size / min(image.size)
        if scale < 1:
            image = image.resize((max(1, round(image.width * scale)),
                                  max(1, round(image.height * scale))))  # fmt: skip
        return torch.from_numpy(np.array(image)).permute(2, 0, 1).contiguous()

    def alike(self, row: Tensor | None) -> None:
        """No two pictures are looked at together: how many boxes there are is their own affair."""

    def cost(self, sample: Sample, row: Tensor | None) -> int:
        """One token a region, at the most."""
        return 0 if row is None else 1 + self.most

    def collate(self, rows: Sequence[Tensor | None]) -> Inputs:
        """``pixels`` of the P pictures one behind the other, uint8 (…,); ``shapes`` (P, 2), height
        and width; ``present`` (B,)."""
        there = [row for row in rows if row is not None]
        flat = [row.flatten() for row in there]
        return {
            "pixels": torch.cat(flat) if flat else torch.zeros(0, dtype=torch.uint8),
            "shapes": torch.tensor([list(row.shape[1:]) for row in there]).view(-1, 2).long(),
            "present": torch.tensor([row is not None for row in rows], dtype=torch.bool),
        }

    @torch.no_grad()
    def forward(self, inputs: Inputs) -> View:
        shapes = inputs["shapes"].tolist()
        present = inputs["present"]
        if not shapes:
            nothing = torch.zeros(0, 1, self.width, device=present.device)
            return place(nothing, nothing[:, 0], present)
        sizes = [3 * high * wide for high, wide in shapes]
        pictures = inputs["pixels"].split(sizes)
        with torch.autocast(present.device.type, enabled=False):
            found = [
                self._look(pixels.view(3, *shape).float() / 255)
                for pixels, shape in zip(pictures, shapes, strict=True)
            ]
        counts = torch.tensor([len(each) for each in found], device=present.device)
        regions = pad_sequence(found, batch_first=True)
        mask = torch.arange(regions.shape[1], device=present.device) < counts.unsqueeze(1)
        return place(regions, regions[:, 0], present, mask)

    def _look(self, picture: Tensor) -> Tensor:
        """The vectors (1 + K, D) of a picture (3, H, W) and of the objects found in it."""
        heads = self.network.roi_heads
        images, _ = self.network.transform([picture])
        features = self.network.backbone(images.tensors)
        if isinstance(features, Tensor):
            features = {"0": features}
        proposals, _ = self.network.rpn(images, features)
        pooled = heads.box_roi_pool(features, proposals, images.image_sizes)
        scores, shifts = heads.box_predictor(heads.box_head(pooled))
        boxes, _, _ = heads.postprocess_detections(scores, shifts, proposals, images.image_sizes)
        ((high, wide),) = images.image_sizes
        whole = picture.new_tensor([[0, 0, wide, high]])
        described: Tensor = heads.box_head(
            heads.box_roi_pool(features, [torch.cat([whole, boxes[0]])], images.image_sizes)
        )
        return described
