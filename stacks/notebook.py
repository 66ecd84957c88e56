"""A SageMaker notebook instance in the deployment's subnets, without a way to the internet."""

from __future__ import annotations

from typing import TYPE_CHECKING

from aws_cdk import Aws
from aws_cdk import aws_sagemaker as sagemaker
from constructs import Construct

from stacks.sagemaker_access import network_statements
from stacks.service_role import DataKey, ServiceRole, trust_of

if TYPE_CHECKING:
    from stacks.hosting import NotebookSpec
    from stacks.sagemaker_access import Surroundings
    from stacks.spec import DeploymentSpec

Metadata = sagemaker.CfnNotebookInstance.InstanceMetadataServiceConfigurationProperty
PLATFORM = "notebook-al2-v3"
VOLUME_GIB = 50


class Notebook(Construct):
    """A notebook instance that reads artifacts and writes results, encrypted and without root."""

    def __init__(
        self,
        scope: Construct,
        construct_id: str,
        *,
        spec: DeploymentSpec,
        notebook: NotebookSpec,
        surroundings: Surroundings,
    ) -> None:
        super().__init__(scope, construct_id)
        self._notebook = notebook
        self._surroundings = surroundings
        key = DataKey(self, "Key", purpose=f"Notebook {notebook.name} of {spec.name}: its volume")
        role = self._role(spec)
        instance = self._instance(role, key)
        instance.add_resource_dependency(role.policy)
        self.name = instance.attr_notebook_instance_name

    def _role(self, spec: DeploymentSpec) -> ServiceRole:
        attached = self._notebook.elastic_inference is not None
        return ServiceRole(
            self,
            "Execution",
            spec=spec,
            purpose=f"The notebook {self._notebook.name}",
            trust=trust_of("sagemaker", f"arn:{Aws.PARTITION}:sagemaker:{Aws.REGION}:{Aws.ACCOUNT_ID}:*"),
            statements=[
                *network_statements(self._surroundings, elastic_inference=attached),
                *_object_statements(self._surroundings),
            ],
        )

    def _instance(self, role: ServiceRole, key: DataKey) -> sagemaker.CfnNotebookInstance:
        instance = sagemaker.CfnNotebookInstance(
            self,
            "Instance",
            instance_type=self._notebook.instance_type,
            role_arn=role.arn,
            subnet_id=self._surroundings.subnet_ids[0],
            security_group_ids=[self._surroundings.security_group_id],
            direct_internet_access="Disabled",
            root_access="Disabled",
            kms_key_id=key.arn,
            platform_identifier=PLATFORM,
            volume_size_in_gb=VOLUME_GIB,
            instance_metadata_service_configuration=Metadata(minimum_instance_metadata_service_version="2"),
        )
        if (accelerator := self._notebook.elastic_inference) is not None:
            # Elastic Inference is retired; the CDK warns of a property that only migrations still read.
            instance.add_property_override("AcceleratorTypes", [accelerator])
        return instance


def _object_statements(around: Surroundings) -> list[dict[str, object]]:
    statements: list[dict[str, object]] = [
        {"Effect": "Allow", "Action": "s3:GetObject", "Resource": f"{around.bucket_arn}/artifacts/*"},
        {"Effect": "Allow", "Action": "s3:PutObject", "Resource": f"{around.bucket_arn}/results/*"},
    ]
    if around.bucket_key is not None:
        statements.append(
            {
                "Effect": "Allow",
                "Action": ["kms:Decrypt", "kms:GenerateDataKey"],
                "Resource": around.bucket_key,
            }
        )
    return statements
