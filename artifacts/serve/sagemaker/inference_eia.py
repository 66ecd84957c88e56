# mypy: ignore-errors
"""The entry of a model package for Elastic Inference, whose containers have Python 3.6 and torch 1.5.1.

Nothing of ours can be imported there: it reads `expected.json` beside it, compares the SHA-256 of
`model.pt`, and runs the program as the container's torch can (the two forms of
https://docs.aws.amazon.com/elastic-inference/latest/developerguide/ei-pytorch-using.html). Written without
anything Python 3.6 lacks; requests and answers are JSON or one .npy array.
"""

import hashlib
import io
import json
import os

import torch
from sagemaker_inference.errors import BaseInferenceToolkitError

ACCELERATOR_PRESENT = "SAGEMAKER_INFERENCE_ACCELERATOR_PRESENT"


def model_fn(model_dir):
    """Compare the program with what was promised, then open and attach it."""
    with open(os.path.join(model_dir, "code", "expected.json")) as stream:  # noqa: PTH118, PTH123
        expected = json.load(stream)
    with open(os.path.join(model_dir, "model.pt"), "rb") as stream:  # noqa: PTH118, PTH123
        program = stream.read()
    if hashlib.sha256(program).hexdigest() != expected["sha256"]:
        raise RuntimeError("model.pt does not have the SHA-256 it was shipped with.")
    if os.environ.get("AMAZONEI_MANIFEST_DIGEST") != expected["digest"]:
        raise RuntimeError("The package is not the one that the endpoint's stack names.")
    model = torch.jit.load(io.BytesIO(program), map_location=torch.device("cpu"))
    return {"run": _attached(model), "inputs": expected["inputs"], "outputs": expected["outputs"]}


def _attached(model):
    if os.environ.get(ACCELERATOR_PRESENT) != "true":
        return model
    try:
        import torcheia
    except ImportError:
        return _targeted(model) if torch.__version__.startswith("1.3.") else model
    attached = torcheia.jit.attach_eia(model.eval(), 0)
    torch._C._jit_set_profiling_executor(False)  # noqa: SLF001 - AWS's documented form

    def run(*inputs):
        with torch.jit.optimized_execution(True):
            return attached.forward(*inputs)

    return run


def _targeted(model):
    def run(*inputs):
        with torch.jit.optimized_execution(True, {"target_device": "eia:0"}):
            return model(*inputs)

    return run


def input_fn(data, content_type):
    """Keep the body; names and dtypes are the model's to know."""
    return data, content_type


def predict_fn(request, model):
    """Read the inputs by the specs the package carries, and answer them."""
    data, content_type = request
    try:
        values = _values(data, content_type, model["inputs"])
        tensors = [
            torch.as_tensor(values[spec["name"]], dtype=getattr(torch, spec["dtype"])).reshape(spec["shape"])
            for spec in model["inputs"]
        ]
    except (ValueError, KeyError, TypeError, RuntimeError) as error:
        expected = ["{name}={dtype}{shape}".format(**spec) for spec in model["inputs"]]
        message = "The request is not as expected ({}): {}".format(", ".join(expected), error)
        raise BaseInferenceToolkitError(400, message, message)  # noqa: B904 - as Python 3.6 code does
    with torch.no_grad():
        answer = model["run"](*tensors)
    answers = list(answer) if isinstance(answer, (list, tuple)) else [answer]
    return dict(zip([spec["name"] for spec in model["outputs"]], answers))  # noqa: B905 - not in Python 3.6


def _values(data, content_type, specs):
    if content_type == "application/x-npy":
        import numpy as np

        return {specs[0]["name"]: np.load(io.BytesIO(data), allow_pickle=False)}
    document = json.loads(data)
    return document["inputs"] if isinstance(document, dict) else {specs[0]["name"]: document}


def output_fn(prediction, accept):
    """Return {"outputs": {name: nested lists}}."""
    return json.dumps({"outputs": {name: tensor.tolist() for name, tensor in prediction.items()}}), accept
