"""One resource of a stack made, changed or deleted, with the events CloudFormation writes of it."""

from __future__ import annotations

import copy
import logging
import re
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from moto.cloudformation import parsing
from moto.core.exceptions import ServiceException
from werkzeug.exceptions import HTTPException

from provisioning.emulator.corrections.resource_handlers import (
    Handler,
    Request,
    handler_for,
    physical_name,
)
from provisioning.emulator.corrections.stack_ledger import ResourceRecord, ledger_of, report_resource
from provisioning.emulator.corrections.template_schemas import carries_system_tags

if TYPE_CHECKING:
    from moto.cloudformation.models import Stack

logger = logging.getLogger(__name__)

# What a resource may fail with: AWS's refusals as moto raises them, and moto's own crashes, which AWS
# reports as an internal failure of the resource handler.
RESOURCE_FAILURES = (ServiceException, HTTPException, LookupError, AttributeError, TypeError, ValueError,
                     AssertionError, NotImplementedError, OSError)  # fmt: skip
_REFUSALS = (ServiceException, HTTPException)
_ABSENT = re.compile(r"NotFound|NoSuch|NotExist|^InvalidDocument$")


class ResourceFailed(Exception):
    """A resource could not be made or changed; its CREATE_FAILED or UPDATE_FAILED event is written."""

    def __init__(self, record: ResourceRecord) -> None:
        super().__init__(f"{record.logical_id}: {record.reason}")
        self.record = record


def declared_resources(stack: Stack) -> dict[str, Any]:
    """Return the declarations whose condition holds, by logical id."""
    conditions = stack.resource_map.lazy_condition_map
    return {
        logical_id: declared
        for logical_id, declared in stack.resource_map._resource_json_map.items()
        if "Condition" not in declared or conditions[declared["Condition"]]
    }


def request_for(stack: Stack, logical_id: str) -> Request:
    """Resolve every function in a declaration; the resources it names must have been made."""
    declared = stack.resource_map._resource_json_map[logical_id]
    properties = copy.deepcopy(declared.get("Properties") or {})
    request = Request(
        account_id=stack.account_id,
        region=stack.region_name,
        stack_id=stack.stack_id,
        logical_id=logical_id,
        type=declared["Type"],
        name="",
        properties=parsing.clean_json(properties, stack.resource_map),
    )
    return replace(request, tags=_tags(stack, request), name=physical_name(request, stack.name))


def _tags(stack: Stack, request: Request) -> dict[str, str]:
    own = request.properties.get("Tags", {})
    if isinstance(own, list):
        own = {tag["Key"]: tag["Value"] for tag in own}
    system = {
        "aws:cloudformation:stack-name": stack.name,
        "aws:cloudformation:stack-id": stack.stack_id,
        "aws:cloudformation:logical-id": request.logical_id,
    }
    carried = system if carries_system_tags(request.type, request.region) else {}
    return {**stack.tags, **own, **carried}


def make(stack: Stack, logical_id: str) -> ResourceRecord:
    """Make one resource; raise `ResourceFailed` when it cannot be made."""
    declared = stack.resource_map._resource_json_map[logical_id]
    record = ResourceRecord(logical_id=logical_id, type=declared["Type"])
    report_resource(stack, record, "CREATE_IN_PROGRESS")
    try:
        record.request = request_for(stack, logical_id)
        handler = handler_for(record.type)
        resource = handler.create(record.request)
        # From here on the resource exists, and a rollback has to delete it.
        _remember(stack, record, resource)
        report_resource(stack, record, "CREATE_IN_PROGRESS", "Resource creation Initiated")
        handler.tag(resource, record.request)
        handler.settle(resource, record.request)
    except RESOURCE_FAILURES as error:
        report_resource(stack, record, "CREATE_FAILED", reason_of(error))
        raise ResourceFailed(record) from error
    report_resource(stack, record, "CREATE_COMPLETE")
    return record


def _remember(stack: Stack, record: ResourceRecord, resource: Any) -> None:
    resource.cf_resource_type, resource.logical_resource_id = record.type, record.logical_id
    record.physical_id = resource.physical_resource_id
    stack.resource_map._parsed_resources[record.logical_id] = resource


def change(stack: Stack, record: ResourceRecord, request: Request) -> None:
    """Change one resource in place; raise `ResourceFailed` when that fails."""
    report_resource(stack, record, "UPDATE_IN_PROGRESS")
    resource = stack.resource_map._parsed_resources[record.logical_id]
    request = replace(request, name=record.request.name if record.request else request.name)
    handler = handler_for(record.type)
    try:
        changed = _updated(handler, resource, request, record.request)
        _remember(stack, record, changed)
        handler.tag(changed, request)
        handler.settle(changed, request)
    except RESOURCE_FAILURES as error:
        report_resource(stack, record, "UPDATE_FAILED", reason_of(error))
        raise ResourceFailed(record) from error
    record.request = request
    report_resource(stack, record, "UPDATE_COMPLETE")


def _updated(handler: Handler, resource: Any, new: Request, old: Request | None) -> Any:
    if old and _without_tags(new) == _without_tags(old):
        return resource
    if handler.update is None:
        raise NotImplementedError(f"The emulator cannot change a resource of type {new.type} in place")
    return handler.update(resource, new) or resource


def _without_tags(request: Request) -> dict[str, Any]:
    return {key: value for key, value in request.properties.items() if key != "Tags"}


def differs_in_tags_only(new: Request, old: Request) -> bool:
    """Return whether nothing but tags changed between two requests."""
    return _without_tags(new) == _without_tags(old)


def remove(stack: Stack, record: ResourceRecord, resource: Any) -> bool:
    """Delete one resource; return False, with its DELETE_FAILED event written, when that fails."""
    report_resource(stack, record, "DELETE_IN_PROGRESS")
    try:
        if resource is not None and record.request is not None:
            handler_for(record.type).delete(resource, record.request)
    except RESOURCE_FAILURES as error:
        if not _is_absent(error):
            report_resource(stack, record, "DELETE_FAILED", reason_of(error))
            return False
    report_resource(stack, record, "DELETE_COMPLETE")
    parsed = stack.resource_map._parsed_resources
    if parsed.get(record.logical_id) is resource:
        parsed.pop(record.logical_id, None)
    return True


def remove_made(stack: Stack, record: ResourceRecord) -> bool:
    """Delete the resource that the stack holds under the record's logical id."""
    return remove(stack, record, stack.resource_map._parsed_resources.get(record.logical_id))


def made_records(stack: Stack) -> dict[str, ResourceRecord]:
    """Return the records of the resources that exist, by logical id."""
    return {name: record for name, record in ledger_of(stack).resources.items() if record.exists}


def reason_of(error: BaseException) -> str:
    """Return a failure in the words of a CloudFormation event."""
    if isinstance(error, _REFUSALS):
        message = getattr(error, "message", None) or getattr(error, "description", None) or str(error)
        return f'Resource handler returned message: "{message}" (HandlerErrorCode: GeneralServiceException)'
    logger.warning("a resource handler crashed", exc_info=error)
    return f'Resource handler returned message: "{error!r}" (HandlerErrorCode: InternalFailure)'


def _is_absent(error: BaseException) -> bool:
    code = getattr(error, "error_type", None) or getattr(error, "code", None)
    return bool(_ABSENT.search(str(code)))
