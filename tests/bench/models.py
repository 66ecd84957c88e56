"""Architectures to measure with, random weights of a fixed seed: speed does not hang on what they learnt."""

from __future__ import annotations

import torch


def resnet18() -> torch.nn.Module:
    return _image_network("resnet18")


def resnet50() -> torch.nn.Module:
    return _image_network("resnet50")


def _image_network(name: str) -> torch.nn.Module:
    from pytorchcv.model_provider import get_model

    torch.manual_seed(0)
    network = get_model(name)
    if not isinstance(network, torch.nn.Module):
        raise TypeError(name)
    return network


class Encoder(torch.nn.Module):
    def __init__(self) -> None:
        super().__init__()
        import transformers

        torch.manual_seed(0)
        self.bert = transformers.BertModel(transformers.BertConfig(return_dict=False))

    def forward(self, input_ids: torch.Tensor) -> torch.Tensor:
        states: torch.Tensor = self.bert(input_ids)[0]
        return states


def bert_base() -> torch.nn.Module:
    return Encoder()


def _small(width: int) -> torch.nn.Module:
    torch.manual_seed(width)
    layers: list[torch.nn.Module] = [torch.nn.Conv2d(3, width, 3, padding=1), torch.nn.ReLU()]
    for _ in range(6):
        layers += [torch.nn.Conv2d(width, width, 3, padding=1), torch.nn.BatchNorm2d(width), torch.nn.ReLU()]
    return torch.nn.Sequential(*layers, torch.nn.AdaptiveAvgPool2d(1), torch.nn.Flatten())


def small0() -> torch.nn.Module:
    return _small(8)


def small1() -> torch.nn.Module:
    return _small(12)


def small2() -> torch.nn.Module:
    return _small(16)


def small3() -> torch.nn.Module:
    return _small(20)


def small4() -> torch.nn.Module:
    return _small(24)


def small5() -> torch.nn.Module:
    return _small(28)


def small6() -> torch.nn.Module:
    return _small(32)


def small7() -> torch.nn.Module:
    return _small(36)
