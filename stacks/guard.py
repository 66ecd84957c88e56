"""The guard: what deletes a deployment when its time is up and nobody is there to do it.

One-time schedules call cloudformation:DeleteStack, hosts first, then the foundation they import from. The
guard stands outside of what it deletes: a role inside of a stack would saw off its own branch.

What it cannot do: CloudFormation deletes no bucket with objects in it, so a bucket that was used stays
(cents a month) until its own lifecycle has emptied it, and is swept then. The guard itself stays too; it
costs nothing, and `amazonei teardown` removes it.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING

from aws_cdk import Aws
from aws_cdk import aws_budgets as budgets
from aws_cdk import aws_scheduler as scheduler
from aws_cdk import aws_sqs as sqs
from constructs import Construct

from stacks.deletion import DEPLOYMENT_TAG, deletion_statements
from stacks.service_role import ServiceRole, document, trust_of

if TYPE_CHECKING:
    from collections.abc import Sequence

    from stacks.spec import BudgetSpec, DeploymentSpec

DELETE_STACK = "aws-sdk:cloudformation:deleteStack"
# The most that EventBridge Scheduler allows; a stack that is busy now is deleted when it settles.
RETRIES = 185
RETRY_WINDOW_S = 86_400
LETTER_DAYS = 14
LOOKS_AT_A_LETTER = 10
ALARM_PERCENT = (80, 100)


@dataclass(frozen=True, slots=True, kw_only=True)
class Appointment:
    """A stack, and the template parameter that says when it is deleted (UTC, without a zone)."""

    stack: str
    when: str
    name: str


def appointments(spec: DeploymentSpec) -> tuple[Appointment, ...]:
    """Return what is deleted when: hosts first, their foundation later and again, last once it is empty."""
    first = [name for name in spec.stack_names if name != spec.name]
    if not first:
        first = [spec.name]
    later = ("FoundationEndAt", "FoundationRetryAt", "SweepAt")
    return (
        *(Appointment(stack=name, when="HostsEndAt", name=name) for name in first),
        *(
            Appointment(stack=spec.name, when=when, name=f"{spec.name}-{when.removesuffix('At').lower()}")
            for when in later
        ),
    )


class Guard(Construct):
    """Schedules that delete the stacks of a deployment, the roles they do it with, and a budget's alarm."""

    def __init__(
        self,
        scope: Construct,
        construct_id: str,
        *,
        spec: DeploymentSpec,
        types: Sequence[str],
        times: dict[str, str],
    ) -> None:
        super().__init__(scope, construct_id)
        self._spec = spec
        letters = self._dead_letters()
        deletion = self._deletion_role(types)
        group = scheduler.CfnScheduleGroup(self, "Group", name=f"{spec.name}-guard")
        role = self._scheduler_role(f"{spec.name}-guard", letters, deletion)
        for number, appointment in enumerate(appointments(spec), start=1):
            schedule = self._schedule(
                f"Schedule{number}",
                appointment,
                expression=f"at({times[appointment.when]})",
                target=self._target(appointment, role, deletion, letters),
            )
            schedule.add_resource_dependency(group)
            schedule.add_resource_dependency(role.policy)
        if spec.budget is not None:
            self._alarm(spec.budget)

    def _schedule(
        self,
        construct_id: str,
        appointment: Appointment,
        *,
        expression: str,
        target: scheduler.CfnSchedule.TargetProperty,
    ) -> scheduler.CfnSchedule:
        return scheduler.CfnSchedule(
            self,
            construct_id,
            name=appointment.name,
            group_name=f"{self._spec.name}-guard",
            description=f"Deletes stack {appointment.stack} when its deployment has expired",
            schedule_expression=expression,
            schedule_expression_timezone="UTC",
            flexible_time_window=scheduler.CfnSchedule.FlexibleTimeWindowProperty(mode="OFF"),
            state="ENABLED",
            target=target,
        )

    def _target(
        self, appointment: Appointment, role: ServiceRole, deletion: ServiceRole, letters: sqs.CfnQueue
    ) -> scheduler.CfnSchedule.TargetProperty:
        wish = {"StackName": appointment.stack, "RoleARN": deletion.arn}
        return scheduler.CfnSchedule.TargetProperty(
            arn=f"arn:{Aws.PARTITION}:scheduler:::{DELETE_STACK}",
            role_arn=role.arn,
            input=json.dumps(wish, separators=(",", ":")),
            dead_letter_config=scheduler.CfnSchedule.DeadLetterConfigProperty(arn=letters.attr_arn),
            retry_policy=scheduler.CfnSchedule.RetryPolicyProperty(
                maximum_retry_attempts=RETRIES, maximum_event_age_in_seconds=RETRY_WINDOW_S
            ),
        )

    def _scheduler_role(self, group_name: str, letters: sqs.CfnQueue, deletion: ServiceRole) -> ServiceRole:
        own = f"{Aws.REGION}:{Aws.ACCOUNT_ID}"
        stacks = [
            f"arn:{Aws.PARTITION}:cloudformation:{own}:stack/{name}/*" for name in self._spec.stack_names
        ]
        # https://docs.aws.amazon.com/scheduler/latest/UserGuide/cross-service-confused-deputy-prevention.html
        source = f"arn:{Aws.PARTITION}:scheduler:{own}:schedule-group/{group_name}"
        return ServiceRole(
            self,
            "Scheduler",
            spec=self._spec,
            purpose="The schedules of the guard",
            trust=trust_of("scheduler", source),
            statements=[
                {
                    "Sid": "DeleteOurStacks",
                    "Effect": "Allow",
                    "Action": "cloudformation:DeleteStack",
                    "Resource": stacks,
                },
                {
                    "Sid": "PassDeletionRole",
                    "Effect": "Allow",
                    "Action": "iam:PassRole",
                    "Resource": deletion.arn,
                    "Condition": {"StringEquals": {"iam:PassedToService": "cloudformation.amazonaws.com"}},
                },
                {
                    "Sid": "SayWhatFailed",
                    "Effect": "Allow",
                    "Action": "sqs:SendMessage",
                    "Resource": letters.attr_arn,
                },
            ],
        )

    def _deletion_role(self, types: Sequence[str]) -> ServiceRole:
        return ServiceRole(
            self,
            "Deletion",
            spec=self._spec,
            purpose="The deletions of the guard",
            # CloudFormation documents no aws:SourceArn for the service role of a stack; who may pass this
            # role to it is what limits its use.
            trust=trust_of("cloudformation"),
            statements=deletion_statements(self._spec, types),
        )

    def _dead_letters(self) -> sqs.CfnQueue:
        """Return the queue that says what could not be deleted, and why.

        `amazonei audit` reads it and leaves the letters where they are. One that was read often makes way
        for newer ones, which a look at ten letters might otherwise miss: it goes to a second queue.
        """
        read = self._queue("ReadLetters", taken_from="allowAll")
        redrive = {"deadLetterTargetArn": read.attr_arn, "maxReceiveCount": LOOKS_AT_A_LETTER}
        return self._queue("Letters", taken_from="denyAll", redrive=redrive)

    def _queue(
        self, construct_id: str, *, taken_from: str, redrive: dict[str, object] | None = None
    ) -> sqs.CfnQueue:
        queue = sqs.CfnQueue(
            self,
            construct_id,
            kms_master_key_id="alias/aws/sqs",  # AWS's own key: no cost, and open to who may send
            message_retention_period=LETTER_DAYS * 86_400,
            redrive_policy=redrive,
            redrive_allow_policy={"redrivePermission": taken_from},
        )
        refusal: dict[str, object] = {
            "Sid": "TlsOnly",
            "Effect": "Deny",
            "Principal": "*",
            "Action": "sqs:*",
            "Resource": queue.attr_arn,
            "Condition": {"Bool": {"aws:SecureTransport": "false"}},
        }
        sqs.CfnQueuePolicy(
            self, f"{construct_id}TlsOnly", queues=[queue.ref], policy_document=document([refusal])
        )
        return queue

    def _alarm(self, budget: BudgetSpec) -> None:
        """Write to somebody when the deployment costs more than it may.

        Costs are known to be the deployment's once `amazonei:deployment` is an active cost allocation tag
        of the account, and with a delay of hours: https://docs.aws.amazon.com/cost-management/latest/userguide/budgets-managing-costs.html
        """
        reader = budgets.CfnBudget.SubscriberProperty(address=budget.email, subscription_type="EMAIL")
        budgets.CfnBudget(
            self,
            "Budget",
            budget=budgets.CfnBudget.BudgetDataProperty(
                budget_name=f"amazonei/{self._spec.name}/{self._spec.region}",
                budget_type="COST",
                time_unit="MONTHLY",
                budget_limit=budgets.CfnBudget.SpendProperty(amount=budget.max_usd, unit="USD"),
                cost_filters={"TagKeyValue": [f"user:{DEPLOYMENT_TAG}${self._spec.name}"]},
            ),
            notifications_with_subscribers=[
                budgets.CfnBudget.NotificationWithSubscribersProperty(
                    notification=budgets.CfnBudget.NotificationProperty(
                        notification_type="ACTUAL",
                        comparison_operator="GREATER_THAN",
                        threshold=percent,
                        threshold_type="PERCENTAGE",
                    ),
                    subscribers=[reader],
                )
                for percent in ALARM_PERCENT
            ],
        )
