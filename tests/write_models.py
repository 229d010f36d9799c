"""Write the tiny files of weights in tests/models/; run it after changing what export writes.

`tiny.zip` changes photographs visibly, `identity.zip` not at all.
"""

from __future__ import annotations

from pathlib import Path

import torch

from restore.engine.model_file import ModelMetadata
from train.network.export import export_generator
from train.network.generator import Generator, GeneratorConfig

MODELS = Path(__file__).parent / "models"
TINY = GeneratorConfig(
    widths=(8, 8, 8), encoder_blocks=(1, 1, 1), decoder_blocks=(1, 1), marks_width=4, tone_scale=1
)


def tiny_generator(*, seed: int | None = 0, config: GeneratorConfig = TINY) -> Generator:
    """A small generator with random weights that changes a photograph visibly; None: identity."""
    torch.manual_seed(0 if seed is None else seed)
    generator = Generator(config)
    if seed is not None:
        with torch.no_grad():
            for name, parameter in generator.named_parameters():
                if name.startswith("global_branch."):
                    continue
                if parameter.ndim == 4 and not parameter.any():
                    parameter.normal_(std=0.5 / parameter[0].numel() ** 0.5)
            generator.paint_out.weight.mul_(0.2)
            generator.tone_out.weight.mul_(0.1)
            generator.marks_out.weight.mul_(20)
            generator.marks_out.bias.fill_(-1.0)
    return generator.requires_grad_(False).eval()


def write_models() -> None:
    """Write them all."""
    MODELS.mkdir(exist_ok=True)
    for name, seed in (("tiny", 0), ("identity", None)):
        generator = tiny_generator(seed=seed)
        export_generator(MODELS / f"{name}.zip", generator, ModelMetadata(name), precision="fp32")


if __name__ == "__main__":
    write_models()
