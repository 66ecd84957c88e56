"""What runs inside an endpoint's container: the artifact verified, opened, tried, and asked.

Neither mosec nor safetensors is needed, which AWS's images may lack.
"""

from __future__ import annotations

import json
import tempfile
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import torch

from artifacts.archive import open_verified
from artifacts.errors import ArtifactRefused, BadRequest, ServeFailed
from artifacts.serve import npy
from artifacts.serve.agreement import difference
from artifacts.serve.fitting import of_one
from artifacts.serve.handler import Handler, as_json, load, parse_json
from artifacts.serve.sagemaker.fitness import refuse_older_torch
from artifacts.serve.sagemaker.layout import ARTIFACT_NAME, DIGEST_VARIABLE, EMULATED_VARIABLE
from artifacts.serve.sagemaker.tensors import read_safetensors, write_safetensors
from artifacts.serve.sampling import sample

if TYPE_CHECKING:
    from collections.abc import Mapping

    from artifacts.serve.sampling import Tensors

JSON = "application/json"
SAFETENSORS = "application/vnd.safetensors"
NPY = "application/x-npy"
CONTENT_TYPES = (JSON, SAFETENSORS, NPY)
_GOLDEN = "golden.safetensors"


@dataclass(frozen=True)
class Body:
    """A request as it came, with its content type."""

    data: bytes
    content_type: str


@dataclass(frozen=True)
class Prediction:
    """The answer's tensors, by name."""

    outputs: Tensors


def open_model(model_dir: Path, environment: Mapping[str, str]) -> Handler:
    """Return the model of a package once its artifact was verified and answered its golden request.

    The expected digest comes from the endpoint's stack, not from the bucket. Raises `ArtifactRefused`
    before anything is loaded, and `ServeFailed` when the model answers otherwise than eager PyTorch did.
    """
    digest = environment.get(DIGEST_VARIABLE)
    if not digest:
        raise ArtifactRefused(f"{DIGEST_VARIABLE} does not say which artifact to expect.")
    with (
        closing(open_verified(model_dir / ARTIFACT_NAME, expected_digest=digest)) as contents,
        tempfile.TemporaryDirectory(prefix="amazonei-model-") as scratch,
    ):
        if contents.manifest.stand_in and environment.get(EMULATED_VARIABLE) != "1":
            raise ArtifactRefused(
                f"{contents.manifest.name} is a CPU stand-in for {contents.manifest.target}, "
                "for emulated endpoints only.",
                "Compile it without --emulate.",
            )
        refuse_older_torch(contents.manifest, str(torch.__version__), "this container")
        contents.unpack(Path(scratch))
        # TorchServe starts a worker process per vCPU (or accelerator), so each computes on one thread.
        handler = load(Path(scratch), threads=1)
        _try(handler, read_safetensors((Path(scratch) / _GOLDEN).read_bytes()))
    print(f"serving {digest[:12]} ({handler.manifest.lane})", flush=True)  # noqa: T201 - the container's log
    return handler


def _try(handler: Handler, golden: Tensors) -> None:
    """Raise ServeFailed unless the model gives the answers that eager PyTorch gave, one for each program."""
    index = 0
    while expected := _part(golden, index, "output."):
        answer = handler.predict_batch([_part(golden, index, "input.")])[0]
        apart = difference(list(expected.values()), [answer[name] for name in expected])
        if not apart.value <= handler.manifest.atol:
            raise ServeFailed(
                f"Golden request {index} was answered wrongly: "
                f"{apart.reason or f'largest difference {apart.value:.3g}'} "
                f"(allowed {handler.manifest.atol:g})."
            )
        index += 1
    if not index:
        raise ArtifactRefused("The artifact carries no golden request.", "Compile the model again.")


def _part(golden: Tensors, index: int, kind: str) -> Tensors:
    """Return one request's inputs or outputs, by the names `artifacts.serve.golden` gives them."""
    prefix = f"{index}.{kind}" if index else kind
    return {name.removeprefix(prefix): golden[name] for name in golden if name.startswith(prefix)}


def read_body(data: str | bytes, content_type: str | None) -> Body:
    """Return the body with its content type; raises BadRequest for one that is not served.

    The toolkit hands JSON over as text.
    """
    kind = (content_type or JSON).partition(";")[0].strip().lower()
    if kind not in CONTENT_TYPES:
        raise BadRequest(f"Content type {kind!r} is not served; use one of {', '.join(CONTENT_TYPES)}.")
    return Body(data.encode() if isinstance(data, str) else bytes(data), kind)


def predict(body: Body, handler: Handler) -> Prediction:
    """Decode, check and answer a request; raises BadRequest saying what was expected."""
    inputs = _decode(body, handler)
    handler.check(inputs)
    return Prediction(handler.predict_batch([inputs])[0])


def _decode(body: Body, handler: Handler) -> Tensors:
    if body.content_type == JSON:
        return _decode_json(parse_json(body.data), handler)
    if body.content_type == SAFETENSORS:
        return read_safetensors(body.data)
    names = [spec.name for spec in handler.manifest.inputs]
    if len(names) != 1:
        raise BadRequest(f"An .npy body is one tensor; this model takes {len(names)}: {', '.join(names)}.")
    return {names[0]: npy.read(body.data)}


def _decode_json(document: object, handler: Handler) -> Tensors:
    """Read named lists, or make the random request of a seed, as hosts do: {"random": 0}."""
    if isinstance(document, dict) and document.keys() == {"random"}:
        if not isinstance(document["random"], int):
            raise BadRequest('The seed of {"random": seed} is not a whole number.')
        return sample(of_one(handler.manifest.inputs), document["random"])
    return handler.read_json(document)


def encode(prediction: Prediction, accept: str) -> tuple[bytes, str]:
    """Return the answer's bytes and content type; raises BadRequest when none of those accepted is made."""
    for wanted in (each.partition(";")[0].strip().lower() for each in accept.split(",")):
        if wanted in (JSON, "*/*", ""):
            return json.dumps(as_json(prediction.outputs)).encode(), JSON
        if wanted == SAFETENSORS:
            return write_safetensors(prediction.outputs), SAFETENSORS
        if wanted == NPY:
            return npy.write(_only(prediction.outputs)), NPY
    raise BadRequest(f"No answer can be {accept!r}; accept one of {', '.join(CONTENT_TYPES)}.")


def _only(outputs: Tensors) -> torch.Tensor:
    if len(outputs) != 1:
        raise BadRequest(
            f"An .npy answer is one tensor; this model gives {len(outputs)}: {', '.join(outputs)}."
        )
    return next(iter(outputs.values()))
