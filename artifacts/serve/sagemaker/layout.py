"""Where things lie in a model package, and what its container is told by environment variables."""

from __future__ import annotations

ARTIFACT_NAME = "artifact.aei"
CODE = "code"
ENTRY = f"{CODE}/inference.py"
# An Elastic Inference container opens a file of this name, and its Python is too old for our code:
# https://github.com/aws/sagemaker-pytorch-inference-toolkit (default_pytorch_inference_handler.py).
EI_PROGRAM = "model.pt"
EI_EXPECTED = f"{CODE}/expected.json"
EI_PRESENT_VARIABLE = "SAGEMAKER_INFERENCE_ACCELERATOR_PRESENT"
DIGEST_VARIABLE = "AMAZONEI_MANIFEST_DIGEST"
EMULATED_VARIABLE = "AMAZONEI_EMULATED"
