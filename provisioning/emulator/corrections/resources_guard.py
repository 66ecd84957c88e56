"""The guard's resources in a template: schedules and their group, the policy of a queue, budgets."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from moto.budgets.models import budgets_backends
from moto.scheduler.models import scheduler_backends
from moto.sqs.models import sqs_backends

from provisioning.emulator.correction import Anchor, Correction
from provisioning.emulator.corrections.resource_handlers import Handler, Made, Request, amend, register

if TYPE_CHECKING:
    from moto.budgets.models import BudgetsBackend
    from moto.scheduler.models import EventBridgeSchedulerBackend

_SCHEDULER = "moto.scheduler.models:EventBridgeSchedulerBackend"
_REFERENCE = "https://docs.aws.amazon.com/AWSCloudFormation/latest/TemplateReference/"
# What CloudFormation spells with numbers SQS takes as text.
_QUEUE_NUMBERS = (
    "MessageRetentionPeriod",
    "VisibilityTimeout",
    "DelaySeconds",
    "KmsDataKeyReusePeriodSeconds",
)


def _scheduler(request: Request) -> EventBridgeSchedulerBackend:
    return scheduler_backends[request.account_id][request.region]


def _create_group(request: Request) -> Made:
    tags = [{"Key": key, "Value": value} for key, value in request.tags.items()]
    group = _scheduler(request).create_schedule_group(request.name, tags)
    return Made(physical_resource_id=group.name, attributes={"Arn": group.arn, "State": "ACTIVE"})


def _delete_group(group: Made, request: Request) -> None:
    _scheduler(request).schedule_groups.pop(group.physical_resource_id, None)


def _wish(request: Request) -> dict[str, Any]:
    properties = request.properties
    return {
        "description": properties.get("Description", ""),
        "end_date": properties.get("EndDate", ""),
        "flexible_time_window": properties["FlexibleTimeWindow"],
        "group_name": properties.get("GroupName", "default"),
        "kms_key_arn": properties.get("KmsKeyArn", ""),
        "name": request.name,
        "schedule_expression": properties["ScheduleExpression"],
        "schedule_expression_timezone": properties.get("ScheduleExpressionTimezone", "UTC"),
        "start_date": properties.get("StartDate", ""),
        "state": properties.get("State", "ENABLED"),
        "target": dict(properties["Target"]),
    }


def _create_schedule(request: Request) -> Made:
    wish = _wish(request)
    schedule = _scheduler(request).create_schedule(**wish, action_after_completion=None)
    attributes = {"Arn": schedule.arn, "Group": wish["group_name"]}
    return Made(physical_resource_id=schedule.name, attributes=attributes)


def _change_schedule(schedule: Made, request: Request) -> Made:
    _scheduler(request).update_schedule(**{**_wish(request), "name": schedule.physical_resource_id})
    return schedule


def _delete_schedule(schedule: Made, request: Request) -> None:
    group = _scheduler(request).schedule_groups.get(schedule.attributes["Group"])
    if group is not None:
        group.schedules.pop(schedule.physical_resource_id, None)


def _install_schedules() -> None:
    register(
        "AWS::Scheduler::ScheduleGroup",
        Handler(
            create=_create_group, delete=_delete_group, tag=_no_tags, name_property="Name", name_limit=64
        ),
    )
    register(
        "AWS::Scheduler::Schedule",
        Handler(
            create=_create_schedule,
            update=_change_schedule,
            delete=_delete_schedule,
            tag=_no_tags,
            name_property="Name",
            name_limit=64,
        ),
    )


def _no_tags(_resource: Any, _request: Request) -> None:
    """A schedule has no tags; its group gets them when it is made."""


def _create_queue(request: Request) -> Any:
    properties = {key: value for key, value in request.properties.items() if key != "Tags"}
    for key in _QUEUE_NUMBERS:
        if key in properties:
            properties[key] = str(properties[key])
    backend = sqs_backends[request.account_id][request.region]
    return backend.create_queue(name=request.name, tags=request.tags, region=request.region, **properties)


def _delete_queue(queue: Any, request: Request) -> None:
    sqs_backends[request.account_id][request.region].delete_queue(queue.name)


def _tag_queue(queue: Any, request: Request) -> None:
    queue.tags = dict(request.tags)


def _create_queue_policy(request: Request) -> Made:
    document = json.dumps(request.properties["PolicyDocument"])
    for url in request.properties["Queues"]:
        backend = sqs_backends[request.account_id][request.region]
        backend.set_queue_attributes(url.rpartition("/")[2], {"Policy": document})
    return Made(physical_resource_id=request.name)


def _delete_queue_policy(_policy: Made, _request: Request) -> None:
    """A queue's policy ends with its queue, which is deleted next."""


def _install_queues() -> None:
    amend(
        "AWS::SQS::Queue",
        create=_create_queue,
        delete=_delete_queue,
        tag=_tag_queue,
        name_property="QueueName",
        name_limit=80,
    )
    register(
        "AWS::SQS::QueuePolicy",
        Handler(create=_create_queue_policy, delete=_delete_queue_policy, tag=_no_tags),
    )


def _budgets(request: Request) -> BudgetsBackend:
    return budgets_backends[request.account_id]["aws"]


def _create_budget(request: Request) -> Made:
    budget = dict(request.properties["Budget"])
    budget.setdefault("BudgetName", request.name)
    notifications = request.properties.get("NotificationsWithSubscribers", [])
    _budgets(request).create_budget(request.account_id, budget, notifications)
    return Made(physical_resource_id=budget["BudgetName"])


def _delete_budget(budget: Made, request: Request) -> None:
    _budgets(request).delete_budget(request.account_id, budget.physical_resource_id)


def _install_budgets() -> None:
    register("AWS::Budgets::Budget", Handler(create=_create_budget, delete=_delete_budget, tag=_no_tags))


CORRECTIONS = (
    Correction(
        name="schedule-resources",
        statement="CloudFormation makes, changes and deletes schedules and their groups.",
        source=_REFERENCE + "aws-resource-scheduler-schedule.html",
        anchors=(
            Anchor(f"{_SCHEDULER}.create_schedule", "86143c060987797c"),
            Anchor(f"{_SCHEDULER}.update_schedule", "de45530d88a6ef44"),
            Anchor(f"{_SCHEDULER}.create_schedule_group", "d2cc1550eb62aa20"),
        ),
        install=_install_schedules,
    ),
    Correction(
        name="queue-resources",
        statement="A queue carries its stack's tags and the policy that the template gives it.",
        source=_REFERENCE + "aws-resource-sqs-queuepolicy.html",
        anchors=(
            Anchor("moto.sqs.models:SQSBackend.create_queue", "c6f590fa4103f5cd"),
            Anchor("moto.sqs.models:SQSBackend.set_queue_attributes", "cca8f62f51e28aa1"),
        ),
        install=_install_queues,
    ),
    Correction(
        name="budget-resource",
        statement="CloudFormation makes and deletes budgets with the notifications of the template.",
        source=_REFERENCE + "aws-resource-budgets-budget.html",
        anchors=(
            Anchor("moto.budgets.models:BudgetsBackend.create_budget", "2c624516d376af79"),
            Anchor("moto.budgets.models:BudgetsBackend.delete_budget", "ac3fda40125b3f40"),
        ),
        install=_install_budgets,
    ),
)
