import pytest
import torch

from train.network.config import GeneratorConfig
from train.network.generator import Generator, fill_from_around

SMALL = GeneratorConfig(
    widths=(8, 16, 16), encoder_blocks=(1, 1, 1), decoder_blocks=(1, 1), marks_width=8, tone_scale=1
)


def make_shaken_generator(config: GeneratorConfig = SMALL) -> Generator:
    """A generator whose every weight matters, as after training."""
    torch.manual_seed(0)
    generator = Generator(config)
    with torch.no_grad():
        for parameter in generator.parameters():
            parameter.add_(0.05 * torch.randn_like(parameter))
        generator.marks_out.bias.fill_(0.0)
    return generator.eval()


def test_untrained_generator_is_the_identity() -> None:
    """Before training the photograph comes back bit by bit."""
    photo = torch.rand(2, 3, 64, 96)
    restored, marks_logits = Generator(SMALL)(photo)
    assert torch.equal(restored, photo)
    assert marks_logits.shape == (2, 1, 64, 96)
    assert bool((torch.sigmoid(marks_logits) < 0.05).all())


def test_default_generator_has_at_most_12_million_parameters() -> None:
    """The default size keeps to its bound."""
    with torch.device("meta"):
        num = sum(p.numel() for p in Generator().parameters())
    assert 8_000_000 < num <= 12_000_000


@pytest.mark.parametrize("size", [(4, 4), (8, 20), (64, 32)])
def test_generator_accepts_any_multiple_of_its_alignment(size: tuple[int, int]) -> None:
    """Height and width are free."""
    restored, marks_logits = make_shaken_generator()(torch.rand(1, 3, *size))
    assert restored.shape == (1, 3, *size)
    assert marks_logits.shape == (1, 1, *size)
    assert restored.dtype == marks_logits.dtype == torch.float32


def test_generator_refuses_other_sizes() -> None:
    """A size that can't be halved often enough is named."""
    with pytest.raises(ValueError, match="multiples of 4, got 30x32"):
        Generator(SMALL)(torch.rand(1, 3, 30, 32))


def test_tile_equals_whole_away_from_its_edges() -> None:
    """A tile that starts at a multiple of the alignment gives what the whole photograph gives."""
    generator = make_shaken_generator()
    photo = torch.rand(1, 3, 128, 192)
    with torch.no_grad():
        whole = generator(photo)
        tile = generator(photo[..., 16:112, 40:136])
    margin = 32
    for from_whole, from_tile in zip(whole, tile, strict=True):
        expected = from_whole[..., 16 + margin : 112 - margin, 40 + margin : 136 - margin]
        found = from_tile[..., margin:-margin, margin:-margin]
        torch.testing.assert_close(found, expected, atol=1e-5, rtol=0)


@pytest.mark.parametrize("size", [(32, 48), (64, 32), (224, 64)])
def test_strips_give_what_the_whole_gives(size: tuple[int, int]) -> None:
    """Layers at native resolution may run on a few rows at a time."""
    generator = make_shaken_generator()
    photo = torch.rand(2, 3, *size, generator=torch.Generator().manual_seed(3))
    known = torch.zeros(2, 1, *size)
    known[:, :, 14:18, 3:9] = 1
    whole = generator(photo, known)
    generator.num_strips = 4
    for found, expected in zip(generator(photo, known), whole, strict=True):
        torch.testing.assert_close(found, expected, atol=1e-5, rtol=0)


def test_photograph_does_not_depend_on_its_batch() -> None:
    """No statistics are taken over a batch."""
    generator = make_shaken_generator()
    photos = torch.rand(3, 3, 32, 32)
    with torch.no_grad():
        torch.testing.assert_close(
            generator(photos)[0][1:2], generator(photos[1:2])[0], atol=1e-6, rtol=0
        )


def test_every_parameter_learns() -> None:
    """After training has begun, a gradient reaches every parameter."""
    generator = make_shaken_generator().train()
    restored, marks_logits = generator(torch.rand(2, 3, 32, 32))
    (restored.square().mean() + marks_logits.square().mean()).backward()
    silent = [n for n, p in generator.named_parameters() if p.grad is None or not p.grad.any()]
    assert silent == []


def test_known_marks_hide_what_they_cover() -> None:
    """What lies under a mark that the caller knows has no say in the full-size features."""
    config = GeneratorConfig(
        widths=(8,) * 5,
        encoder_blocks=(0,) * 5,
        decoder_blocks=(0,) * 4,
        marks_width=8,
    )
    generator = Generator(config)
    with torch.no_grad():
        generator.paint_out.weight.normal_()
        generator.up[0].weight.zero_()  # leaves the skip connection as the only way
        generator.up[0].bias.zero_()
        generator.stem.weight[:, :, [0, 0, 0, 1, 1, 2, 2, 2], [0, 1, 2, 0, 2, 0, 1, 2]] = 0
    photo = torch.full((1, 3, 32, 32), 0.5)
    scratched = photo.clone()
    scratched[..., 14:16, 14:16] = 1.0
    marks = torch.zeros(1, 1, 32, 32)
    marks[..., 14:16, 14:16] = 1.0
    with torch.no_grad():
        seen = generator(scratched)[0]
        hidden = generator(scratched, marks)[0]
        expected = generator(photo, marks)[0]
    assert not torch.allclose(seen, expected, atol=1e-3)
    torch.testing.assert_close(hidden, expected, atol=2e-3, rtol=0)


def test_fill_keeps_the_visible_photograph() -> None:
    """Without marks, filling changes nothing."""
    photo = torch.rand(1, 3, 64, 64)
    torch.testing.assert_close(fill_from_around(photo, torch.zeros(1, 1, 64, 64)), photo)


def test_fill_continues_a_flat_photograph_under_a_mark() -> None:
    """A hole in a flat grey is filled with that grey, whatever covers it."""
    photo = torch.full((1, 3, 64, 64), 0.25)
    marks = torch.zeros(1, 1, 64, 64)
    marks[..., 20:30, 5:60] = 1.0
    covered = photo + 0.75 * marks
    torch.testing.assert_close(fill_from_around(covered, marks), photo, atol=5e-3, rtol=0)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"widths": [16]}, "2 to 8 scales"),
        ({"encoder_blocks": [1]}, "encoder_blocks"),
        ({"decoder_blocks": [1, 1, 1]}, "decoder_blocks"),
        ({"widths": [8, 16, 2000]}, "4..1024"),
        ({"marks_width": 1}, "4..1024"),
        ({"tone_scale": 2}, "tone_scale"),
        ({"encoder_blocks": [1, 1, 99]}, "0..16"),
        ({"marks_width": 8.5}, "whole numbers"),
        ({"widths": "wide"}, "whole numbers"),
        ({"depth": 3}, "unknown or missing depth"),
        ({"encoder": "resnet34"}, "encoders other than plain are gone"),
    ],
)
def test_config_refuses_what_describes_no_network(change: dict[str, object], message: str) -> None:
    """A wrong size is refused with a word that names it."""
    with pytest.raises(ValueError, match=message):
        GeneratorConfig.from_dict({**SMALL.to_dict(), **change})


def test_config_survives_its_dictionary() -> None:
    """`from_dict` reads what `to_dict` writes."""
    assert GeneratorConfig.from_dict(SMALL.to_dict()) == SMALL


def test_config_of_an_older_file_is_read() -> None:
    """Files of version 0.1 name their encoder."""
    assert GeneratorConfig.from_dict({**SMALL.to_dict(), "encoder": "plain"}) == SMALL
