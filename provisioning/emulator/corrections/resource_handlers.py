"""How one resource of a template is made, changed and deleted on moto's backends."""

from __future__ import annotations

import inspect
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

from moto.cloudformation.exceptions import UnformattedGetAttTemplateException
from moto.cloudformation.parsing import NULL_MODELS, generate_resource_name, get_model_map
from moto.core.exceptions import ServiceException
from moto.ec2.models.core import TaggedEC2Resource

if TYPE_CHECKING:
    from collections.abc import Callable


class HandlerFailure(ServiceException):
    """A resource handler refuses in its own words."""

    code = "GeneralServiceException"


@dataclass(frozen=True, slots=True, kw_only=True)
class Request:
    """What a resource is made from: the declaration with every function resolved."""

    account_id: str
    region: str
    stack_id: str
    logical_id: str
    type: str
    name: str  # the physical name, from the template or generated
    properties: dict[str, Any]
    tags: dict[str, str] = field(default_factory=dict)  # the resource's own, the stack's and CloudFormation's

    @property
    def declaration(self) -> dict[str, Any]:
        """Return the shape moto's models read."""
        return {"Type": self.type, "Properties": self.properties}


@dataclass(slots=True, kw_only=True)
class Made:
    """A resource that moto has no model for."""

    physical_resource_id: str
    attributes: dict[str, Any] = field(default_factory=dict)
    cf_resource_type: str = ""
    logical_resource_id: str = ""

    def get_cfn_attribute(self, name: str) -> Any:
        """Return what Fn::GetAtt gives."""
        if name not in self.attributes:
            raise UnformattedGetAttTemplateException
        return self.attributes[name]


def tag_on_ec2(resource: Any, request: Request) -> None:
    """Put the request's tags on an EC2 resource; other services name their own way in their handler."""
    if isinstance(resource, TaggedEC2Resource):
        resource.add_tags(request.tags)


def settled_at_once(_resource: Any, _request: Request) -> None:
    """Most resources are what they will be as soon as they are made."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Handler:
    """The ways of one resource type; `update` is absent where only replacement is known."""

    create: Callable[[Request], Any]
    delete: Callable[[Any, Request], None]
    update: Callable[[Any, Request], Any] | None = None
    tag: Callable[[Any, Request], None] = tag_on_ec2
    settle: Callable[[Any, Request], None] = settled_at_once  # waits, or raises why it never settles
    name_property: str | None = None
    name_limit: int = 255


_HANDLERS: dict[str, Handler] = {}


def register(type_name: str, handler: Handler) -> None:
    """Let `handler` make the resources of a type from now on."""
    _HANDLERS[type_name] = handler


def amend(type_name: str, **changes: Any) -> None:
    """Change single ways of the handler a type has now."""
    _HANDLERS[type_name] = replace(handler_for(type_name), **changes)


def handler_for(type_name: str) -> Handler:
    """Return the handler of a type: ours, or the one that asks moto's model."""
    return _HANDLERS.get(type_name) or _moto_handler(type_name)


def is_made_here(type_name: str) -> bool:
    """Return whether the emulator can make a resource of this type at all."""
    return type_name in _HANDLERS or type_name in NULL_MODELS or type_name in get_model_map()


def physical_name(request: Request, stack_name: str) -> str:
    """Return the declared name of a resource, or a generated one within the service's limit."""
    handler = handler_for(request.type)
    declared = request.properties.get(handler.name_property) if handler.name_property else None
    if declared:
        return str(declared)
    generated = generate_resource_name(request.type, stack_name, request.logical_id)
    prefix, _, suffix = generated.rpartition("-")
    return f"{prefix[: handler.name_limit - len(suffix) - 1]}-{suffix}"


def _moto_handler(type_name: str) -> Handler:
    if type_name in NULL_MODELS:
        return Handler(create=lambda request: Made(physical_resource_id=request.name), delete=_nothing)
    model: Any = get_model_map().get(type_name)
    if model is None:
        raise HandlerFailure(f"The emulator makes no resource of type {type_name}")
    updatable = not hasattr(model.update_from_cloudformation_json, "__isabstractmethod__")
    return Handler(
        create=lambda request: _moto_create(model, request),
        delete=lambda resource, request: _moto_delete(model, resource, request),
        update=(lambda resource, request: _moto_update(model, resource, request)) if updatable else None,
        name_property=model.cloudformation_name_type() or None,
    )


def _nothing(_resource: Any, _request: Request) -> None:
    """There is nothing behind a null model."""


def _moto_create(model: Any, request: Request) -> Any:
    return model.create_from_cloudformation_json(
        request.name,
        request.declaration,
        request.account_id,
        request.region,
        LogicalId=request.logical_id,
        StackId=request.stack_id,
        ResourceType=request.type,
    )


def _moto_update(model: Any, resource: Any, request: Request) -> Any:
    return model.update_from_cloudformation_json(
        original_resource=resource,
        new_resource_name=request.name,
        cloudformation_json=request.declaration,
        account_id=request.account_id,
        region_name=request.region,
    )


def _moto_delete(model: Any, resource: Any, request: Request) -> None:
    place = (request.account_id, request.region)
    own_delete = getattr(resource, "delete", None)
    if own_delete is not None and _accepts(own_delete, place):
        own_delete(*place)
    elif not hasattr(model.delete_from_cloudformation_json, "__isabstractmethod__"):
        model.delete_from_cloudformation_json(resource.physical_resource_id, request.declaration, *place)
    else:
        # moto reports success here and keeps the resource; a resource that stays is a failed deletion.
        raise HandlerFailure(f"The emulator cannot delete a resource of type {request.type}")


def _accepts(function: Callable[..., Any], arguments: tuple[str, str]) -> bool:
    try:
        inspect.signature(function).bind(*arguments)
    except TypeError:
        return False
    return True
