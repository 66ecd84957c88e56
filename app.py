"""The CDK's door: `cdk synth`, `cdk diff`, `cdk deploy` and `cdk destroy` on ./amazonei.toml.

Context overrides the file: -c name=... -c region=... -c accelerator=c7i.xlarge[,inf2.xlarge]
-c ttl=8h -c guard=true -c allow_retired=true. The templates are those of `amazonei setup`.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING

from artifacts.errors import AmazoneiError, TargetRetired
from artifacts.targets import find, refuse_retired
from stacks.node import prepare_node
from stacks.settings import parse_deployment, read_document

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

CONFIG = Path("amazonei.toml")
OVERRIDES = ("name", "region", "ttl")
SWITCHES = ("guard",)


def main() -> None:
    """Write the templates of the deployment where the CDK's command line asks for them."""
    prepare_node()
    from stacks.deployment import compose, new_app

    app = new_app()
    context: Callable[[str], object] = app.node.try_get_context
    document = override(read_document(CONFIG) if CONFIG.exists() else {}, context)
    spec = parse_deployment(document)
    if str(context("allow_retired")).lower() != "true":
        for host in spec.hosts:
            refuse_retired(find(host.accelerator))
    compose(app, spec)
    app.synth()


def override(document: Mapping[str, object], context: Callable[[str], object]) -> Mapping[str, object]:
    """Return the document with what the context says instead."""
    changed = {key: str(context(key)) for key in OVERRIDES if context(key) is not None}
    switched = {key: str(context(key)).lower() == "true" for key in SWITCHES if context(key) is not None}
    accelerators = context("accelerator")
    if accelerators is None:
        return {**document, **changed, **switched}
    targets = [{"accelerator": name.strip()} for name in str(accelerators).split(",")]
    return {**document, **changed, **switched, "targets": targets}


if __name__ == "__main__":
    try:
        main()
    except TargetRetired as error:
        sys.exit(f"{error.message}\n{error.hint} With the CDK: -c allow_retired=true.")
    except AmazoneiError as error:
        sys.exit(f"{error.message}\n{error.hint}")
