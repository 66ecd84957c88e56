"""The architectures at the size people deploy them in, with random weights of a fixed seed."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch
import transformers
from pytorchcv.models.inceptionv3 import get_inceptionv3
from pytorchcv.models.resnet import get_resnet
from pytorchcv.models.vgg import get_vgg
from torch import nn

from tests.artifacts import zoo_models

if TYPE_CHECKING:
    from collections.abc import Callable


def _of(make: Callable[[], nn.Module]) -> Callable[[], nn.Module]:
    def seeded() -> nn.Module:
        with torch.random.fork_rng():
            torch.manual_seed(0)
            return make()

    return seeded


def _by_config(model: Any, config: Callable[..., Any]) -> Callable[[], nn.Module]:
    return _of(lambda: model(config(use_cache=False)))


resnet18 = _of(lambda: get_resnet(blocks=18))
resnet50 = _of(lambda: get_resnet(blocks=50))
vgg16 = _of(lambda: get_vgg(blocks=16))
inceptionv3 = _of(get_inceptionv3)
unet = _of(lambda: zoo_models.UNet(width=64))
bert = _by_config(transformers.BertModel, transformers.BertConfig)
roberta = _by_config(transformers.RobertaModel, transformers.RobertaConfig)
gpt2 = _by_config(transformers.GPT2LMHeadModel, transformers.GPT2Config)
distilbert = _by_config(transformers.DistilBertModel, transformers.DistilBertConfig)
t5_encoder = _by_config(transformers.T5EncoderModel, transformers.T5Config)
vit = _by_config(transformers.ViTModel, transformers.ViTConfig)
