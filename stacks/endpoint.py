"""A model behind a SageMaker endpoint: in our subnets, on its own, encrypted, growing with its traffic."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from aws_cdk import Aws, Tags
from aws_cdk import aws_applicationautoscaling as scaling
from aws_cdk import aws_logs as logs
from aws_cdk import aws_sagemaker as sagemaker
from constructs import Construct

from artifacts.serve.sagemaker.layout import DIGEST_VARIABLE
from stacks.host import ACCELERATOR_TAG
from stacks.sagemaker_access import execution_statements
from stacks.service_role import DataKey, ServiceRole, trust_of

if TYPE_CHECKING:
    from stacks.hosting import EndpointSpec
    from stacks.sagemaker_access import Surroundings
    from stacks.spec import DeploymentSpec

VARIANT = "AllTraffic"
LOG_DAYS = 365  # what Control Tower asks for; the group goes with its stack all the same
# One instance more is in service after minutes; one less follows only when the calm lasts.
SCALE_OUT_COOLDOWN_S = 60
SCALE_IN_COOLDOWN_S = 300
UPDATE_TIMEOUT_S = 3600


@dataclass(frozen=True, slots=True, kw_only=True)
class Shipped:
    """What an endpoint serves, known when its stack is deployed."""

    model_data: str  # the S3 URI of the package
    manifest_digest: str  # told to the container by the stack: its code refuses another artifact


class Endpoint(Construct):
    """One model, one configuration, one endpoint, and the target that its number of instances tracks."""

    def __init__(
        self,
        scope: Construct,
        construct_id: str,
        *,
        spec: DeploymentSpec,
        endpoint: EndpointSpec,
        surroundings: Surroundings,
        shipped: Shipped,
    ) -> None:
        super().__init__(scope, construct_id)
        self._endpoint = endpoint
        self._name = f"{spec.name}-{endpoint.accelerator.replace('.', '-')}"
        self._log_group = f"/aws/sagemaker/Endpoints/{self._name}"
        self._key = DataKey(
            self, "Key", purpose=f"Endpoint {self._name}: volumes and logs", users=[self._logs_use_the_key()]
        )
        role = ServiceRole(
            self,
            "Execution",
            spec=spec,
            purpose=f"The endpoint on {endpoint.accelerator}",
            trust=trust_of("sagemaker", f"arn:{Aws.PARTITION}:sagemaker:{Aws.REGION}:{Aws.ACCOUNT_ID}:*"),
            statements=execution_statements(endpoint, surroundings, self._log_group),
        )
        model = self._model(role, surroundings, shipped)
        # SageMaker makes network interfaces with this role, so its policy is there before the model.
        model.add_resource_dependency(role.policy)
        deployed = self._deploy(model)
        self._scale(deployed)
        self.name = deployed.attr_endpoint_name
        Tags.of(self).add(ACCELERATOR_TAG, endpoint.accelerator)

    def _model(self, role: ServiceRole, surroundings: Surroundings, shipped: Shipped) -> sagemaker.CfnModel:
        image = self._endpoint.image
        registry = f"{image.account}.dkr.ecr.{Aws.REGION}.{Aws.URL_SUFFIX}"
        return sagemaker.CfnModel(
            self,
            "Model",
            execution_role_arn=role.arn,
            enable_network_isolation=True,  # the container itself makes no call of any kind
            primary_container=sagemaker.CfnModel.ContainerDefinitionProperty(
                image=f"{registry}/{image.repository}:{image.tag}",
                model_data_url=shipped.model_data,
                environment=self._environment(shipped),
            ),
            vpc_config=sagemaker.CfnModel.VpcConfigProperty(
                subnets=list(surroundings.subnet_ids), security_group_ids=[surroundings.security_group_id]
            ),
        )

    def _environment(self, shipped: Shipped) -> dict[str, str]:
        variables = {DIGEST_VARIABLE: shipped.manifest_digest}
        if self._endpoint.workers is not None:
            # One process for each core: the runtime gives each process that asks for one a free one.
            # https://awsdocs-neuron.readthedocs-hosted.com/en/latest/neuron-runtime/nrt-configurable-parameters.html
            variables["NEURON_RT_NUM_CORES"] = "1"
            variables["SAGEMAKER_MODEL_SERVER_WORKERS"] = str(self._endpoint.workers)
        return variables

    def _deploy(self, model: sagemaker.CfnModel) -> sagemaker.CfnEndpoint:
        endpoint = self._endpoint
        variant = sagemaker.CfnEndpointConfig.ProductionVariantProperty(
            variant_name=VARIANT,
            model_name=model.attr_model_name,
            instance_type=endpoint.instance_type,
            initial_instance_count=endpoint.count,
            initial_variant_weight=1,
            accelerator_type=endpoint.elastic_inference,
            inference_ami_version=endpoint.image.ami_version,
        )
        # No data capture: what is asked of the model stays between the caller and the model.
        configuration = sagemaker.CfnEndpointConfig(
            self,
            "Configuration",
            production_variants=[variant],
            kms_key_id=None if endpoint.local_disk else self._key.arn,
        )
        deployed = sagemaker.CfnEndpoint(
            self,
            "Endpoint",
            endpoint_name=self._name,
            endpoint_config_name=configuration.attr_endpoint_config_name,
            deployment_config=_beside_the_old() if endpoint.guardrails else None,
        )
        deployed.add_resource_dependency(self._logs())
        return deployed

    def _logs(self) -> logs.CfnLogGroup:
        # SageMaker would make this group by itself, for ever and outside of the stack.
        return logs.CfnLogGroup(
            self,
            "Logs",
            log_group_name=self._log_group,
            retention_in_days=LOG_DAYS,
            kms_key_id=self._key.arn,
        )

    def _scale(self, deployed: sagemaker.CfnEndpoint) -> None:
        endpoint = self._endpoint
        target = scaling.CfnScalableTarget(
            self,
            "Instances",
            service_namespace="sagemaker",
            scalable_dimension="sagemaker:variant:DesiredInstanceCount",
            resource_id=f"endpoint/{self._name}/variant/{VARIANT}",
            min_capacity=endpoint.count,
            max_capacity=endpoint.max_count,
        )
        target.add_resource_dependency(deployed)
        metric = scaling.CfnScalingPolicy.PredefinedMetricSpecificationProperty(
            predefined_metric_type="SageMakerVariantInvocationsPerInstance"
        )
        scaling.CfnScalingPolicy(
            self,
            "Tracking",
            policy_name=f"{self._name}-invocations",
            policy_type="TargetTrackingScaling",
            scaling_target_id=target.ref,
            target_tracking_scaling_policy_configuration=scaling.CfnScalingPolicy.TargetTrackingScalingPolicyConfigurationProperty(
                predefined_metric_specification=metric,
                target_value=endpoint.invocations_per_minute,
                scale_out_cooldown=SCALE_OUT_COOLDOWN_S,
                scale_in_cooldown=SCALE_IN_COOLDOWN_S,
            ),
        )

    def _logs_use_the_key(self) -> dict[str, object]:
        # https://docs.aws.amazon.com/AmazonCloudWatch/latest/logs/encrypt-log-data-kms.html
        group = f"arn:{Aws.PARTITION}:logs:{Aws.REGION}:{Aws.ACCOUNT_ID}:log-group:{self._log_group}"
        return {
            "Sid": "LogsOfTheEndpoint",
            "Effect": "Allow",
            "Principal": {"Service": f"logs.{Aws.REGION}.amazonaws.com"},
            "Action": ["kms:Decrypt", "kms:DescribeKey", "kms:Encrypt", "kms:GenerateDataKey"],
            "Resource": "*",
            "Condition": {"ArnEquals": {"kms:EncryptionContext:aws:logs:arn": group}},
        }


def _beside_the_old() -> sagemaker.CfnEndpoint.DeploymentConfigProperty:
    """Return how an update goes: a whole new fleet beside the old one, which stays when the new one fails.

    https://docs.aws.amazon.com/sagemaker/latest/dg/deployment-guardrails-blue-green-all-at-once.html
    """
    return sagemaker.CfnEndpoint.DeploymentConfigProperty(
        blue_green_update_policy=sagemaker.CfnEndpoint.BlueGreenUpdatePolicyProperty(
            traffic_routing_configuration=sagemaker.CfnEndpoint.TrafficRoutingConfigProperty(
                type="ALL_AT_ONCE", wait_interval_in_seconds=0
            ),
            termination_wait_in_seconds=0,
            maximum_execution_timeout_in_seconds=UPDATE_TIMEOUT_S,
        )
    )
