"""The architectures people deploy, small, with random weights, as `path/to/zoo_models.py:callable`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch
import transformers
from pytorchcv.models.inceptionv3 import get_inceptionv3
from pytorchcv.models.resnet import ResNet
from pytorchcv.models.vgg import VGG
from torch import nn

if TYPE_CHECKING:
    from collections.abc import Callable

TINY: dict[str, Any] = {
    "hidden_size": 16,
    "num_hidden_layers": 2,
    "num_attention_heads": 2,
    "intermediate_size": 32,
}
WORDS = 101


def _seeded(make: Callable[[], nn.Module]) -> nn.Module:
    with torch.random.fork_rng():
        torch.manual_seed(0)
        return make()


def _pooled(model: Any, size: int, name: str = "final_pool") -> nn.Module:
    """Let the features end at this size for small images too, as torchvision's models do."""
    setattr(model.features, name, nn.AdaptiveAvgPool2d(size))
    net: nn.Module = model
    return net


def _resnet(layers: list[int], *, bottleneck: bool) -> nn.Module:
    width = 32 if bottleneck else 8
    model = ResNet(
        channels=[[width * 2**stage] * count for stage, count in enumerate(layers)],
        init_block_channels=8,
        bottleneck=bottleneck,
        conv1_stride=True,
        num_classes=10,
    )
    return _pooled(model, 1)


def resnet18() -> nn.Module:
    return _seeded(lambda: _resnet([2, 2, 2, 2], bottleneck=False))


def resnet50() -> nn.Module:
    return _seeded(lambda: _resnet([3, 4, 6, 3], bottleneck=True))


def vgg16() -> nn.Module:
    """VGG-16's thirteen convolutions, narrow; the classifier's width is fixed by the library."""
    channels = [[8] * 2, [16] * 2, [24] * 3, [32] * 3, [32] * 3]
    return _seeded(lambda: _pooled(VGG(channels=channels, num_classes=10), 7))


def inceptionv3() -> nn.Module:
    """Inception-v3 whole: its branches have no width to choose."""
    return _seeded(lambda: _pooled(get_inceptionv3(num_classes=10), 1))


class UNet(nn.Module):
    """Two levels down and up with skip connections (https://arxiv.org/abs/1505.04597)."""

    def __init__(self, width: int = 8) -> None:
        super().__init__()
        self.down = nn.ModuleList([self._two(3, width), self._two(width, 2 * width)])
        self.bottom = self._two(2 * width, 4 * width)
        self.grow = nn.ModuleList(
            [nn.ConvTranspose2d(4 * width, 2 * width, 2, 2), nn.ConvTranspose2d(2 * width, width, 2, 2)]
        )
        self.up = nn.ModuleList([self._two(4 * width, 2 * width), self._two(2 * width, width)])
        self.head = nn.Conv2d(width, 2, 1)

    @staticmethod
    def _two(given: int, made: int) -> nn.Sequential:
        return nn.Sequential(
            nn.Conv2d(given, made, 3, padding=1), nn.BatchNorm2d(made), nn.ReLU(),
            nn.Conv2d(made, made, 3, padding=1), nn.BatchNorm2d(made), nn.ReLU(),
        )  # fmt: skip

    def forward(self, image: torch.Tensor) -> torch.Tensor:
        kept: list[torch.Tensor] = []
        for level in self.down:
            image = level(image)
            kept.append(image)
            image = nn.functional.max_pool2d(image, 2)
        image = self.bottom(image)
        for grow, level in zip(self.grow, self.up):  # noqa: B905 - TorchScript knows no strict
            image = level(torch.cat([grow(image), kept.pop()], dim=1))
        answer: torch.Tensor = self.head(image)
        return answer


def unet() -> nn.Module:
    return _seeded(UNet)


def _of(model: Any, config: Any) -> Callable[[], nn.Module]:
    def make() -> nn.Module:
        config.use_cache = False
        return _seeded(lambda: model(config))

    return make


_BERT: dict[str, Any] = {**TINY, "vocab_size": WORDS, "max_position_embeddings": 64}
bert = _of(transformers.BertModel, transformers.BertConfig(**_BERT))
bert_masked = _of(transformers.BertForMaskedLM, transformers.BertConfig(**_BERT))  # tied weights
roberta = _of(transformers.RobertaModel, transformers.RobertaConfig(**_BERT))
gpt2 = _of(
    transformers.GPT2LMHeadModel,
    transformers.GPT2Config(
        n_embd=16, n_layer=2, n_head=2, vocab_size=WORDS, n_positions=64, eos_token_id=0, bos_token_id=0
    ),
)
distilbert = _of(
    transformers.DistilBertModel,
    transformers.DistilBertConfig(
        dim=16, n_layers=2, n_heads=2, hidden_dim=32, vocab_size=WORDS, max_position_embeddings=64
    ),
)
t5_encoder = _of(
    transformers.T5EncoderModel,
    transformers.T5Config(d_model=16, d_ff=32, d_kv=8, num_layers=2, num_heads=2, vocab_size=WORDS),
)
vit = _of(transformers.ViTModel, transformers.ViTConfig(**TINY, image_size=32, patch_size=8))


class Marian(nn.Module):
    """Encoder and one step of the decoder of a translator."""

    def __init__(self) -> None:
        super().__init__()
        config = transformers.MarianConfig(
            d_model=16, encoder_layers=2, decoder_layers=2, encoder_attention_heads=2,
            decoder_attention_heads=2, encoder_ffn_dim=32, decoder_ffn_dim=32, vocab_size=WORDS,
            pad_token_id=0, decoder_start_token_id=0, max_position_embeddings=64, use_cache=False,
        )  # fmt: skip
        self.translator = transformers.MarianMTModel(config)

    def forward(self, input_ids: torch.Tensor, decoder_input_ids: torch.Tensor) -> torch.Tensor:
        answer = self.translator(input_ids=input_ids, decoder_input_ids=decoder_input_ids, use_cache=False)
        logits: torch.Tensor = answer.logits
        return logits


def marian() -> nn.Module:
    return _seeded(Marian)


class Tagger(nn.Module):
    """A bidirectional LSTM over word vectors."""

    def __init__(self) -> None:
        super().__init__()
        self.words = nn.Embedding(WORDS, 16)
        self.lstm = nn.LSTM(16, 12, num_layers=2, bidirectional=True, batch_first=True)
        self.tags = nn.Linear(24, 5)

    def forward(self, input_ids: torch.Tensor) -> torch.Tensor:
        states, _ = self.lstm(self.words(input_ids))
        answer: torch.Tensor = self.tags(states)
        return answer


def lstm() -> nn.Module:
    return _seeded(Tagger)
