"""Corrections of EC2 instances: they execute, and what EC2 refuses is refused."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from moto.core.responses import ActionResult
from moto.core.types import Base64EncodedString
from moto.core.utils import utcnow
from moto.ec2.exceptions import EC2ClientError

from provisioning.emulator import datacenter
from provisioning.emulator.correction import Anchor, Correction
from provisioning.emulator.corrections.wrapping import Function, instead, wrap

if TYPE_CHECKING:
    from moto.ec2.models.instances import Instance, InstanceState, Reservation

_INSTANCES = "moto.ec2.models.instances:"
_RUN = Anchor(_INSTANCES + "InstanceBackend.run_instances", "3c2dfbe3c3c8d7e6")
_DESCRIBE = Anchor(_INSTANCES + "InstanceBackend.describe_instances", "f7f35b3fb2770bec")
_START = Anchor(_INSTANCES + "Instance.start", "c721aea9f21430a6")
_STOP = Anchor(_INSTANCES + "Instance.stop", "2e146e8f17fcde7b")
_REBOOT = Anchor(_INSTANCES + "Instance.reboot", "768e7a5799fa6ef9")
_TERMINATE = Anchor(_INSTANCES + "Instance.terminate", "bf1246f5846631f2")
_INTERFACES = Anchor(_INSTANCES + "Instance.prep_nics", "ccca50de9eff5376")
_CONSOLE = Anchor("moto.ec2.responses.general:General.get_console_output", "0b4e914739f63ef0")


def _launching(original: Function) -> Function:
    def run_instances(self: Any, image_id: str, count: int, *arguments: Any, **options: Any) -> Reservation:
        center = datacenter.current()
        if center is None:
            return original(self, image_id, count, *arguments, **options)  # type: ignore[no-any-return]
        if count > center.hypervisor.free_addresses():
            raise EC2ClientError("InstanceLimitExceeded", "The emulator has no address left for more hosts.")
        reservation: Reservation = original(self, image_id, count, *arguments, **options)
        for instance in reservation.instances:
            center.hypervisor.launch(instance.id, self.region_name, _text(instance.user_data))
        return reservation

    return run_instances


def _starting(original: Function) -> Function:
    def start(self: Instance) -> InstanceState:
        was_running = self.is_running()
        previous: InstanceState = original(self)
        center = datacenter.current()
        if center is not None and not was_running and (host := center.hypervisor.find(self.id)):
            host.power_on("")
        return previous

    return start


def _stopping(original: Function) -> Function:
    def stop(self: Instance) -> InstanceState:
        previous: InstanceState = original(self)
        center = datacenter.current()
        if center is not None and (host := center.hypervisor.find(self.id)):
            host.power_off()
        return previous

    return stop


def _rebooting(original: Function) -> Function:
    def reboot(self: Instance) -> None:
        original(self)
        center = datacenter.current()
        if center is not None and (host := center.hypervisor.find(self.id)):
            host.power_off()
            host.power_on("")

    return reboot


def _terminating(original: Function) -> Function:
    def terminate(self: Instance) -> InstanceState:
        center = datacenter.current()
        if center is not None:
            center.hypervisor.terminate(self.id)
        if self.state == "terminated":
            return self.instance_state
        previous: InstanceState = original(self)
        return previous

    return terminate


def _deleting_interfaces(original: Function) -> Function:
    def prep_nics(self: Instance, nic_spec: list[dict[str, Any]], *arguments: Any, **options: Any) -> None:
        kept = {
            int(nic["DeviceIndex"])
            for nic in nic_spec
            if nic.get("NetworkInterfaceId") or nic.get("DeleteOnTermination") is False
        }
        original(self, nic_spec, *arguments, **options)
        for index, interface in self.nics.items():
            interface.delete_on_termination = index not in kept

    return prep_nics


def _hiding_terminated(original: Function) -> Function:
    def describe_instances(self: Any, filters: Any = None) -> list[Reservation]:
        reservations: list[Reservation] = original(self, filters)
        for reservation in reservations:
            reservation.instances = [each for each in reservation.instances if each.state != "terminated"]
        return [reservation for reservation in reservations if reservation.instances]

    return describe_instances


def _get_console_output(self: Any) -> ActionResult:
    instance = self.ec2_backend.get_instance(self._get_param("InstanceId"))
    center = datacenter.current()
    host = center.hypervisor.find(instance.id) if center is not None else None
    text = host.console_output() if host is not None else ""
    output = Base64EncodedString.from_raw_string(text)
    return ActionResult({"InstanceId": instance.id, "Timestamp": utcnow(), "Output": output})


def _text(user_data: Base64EncodedString | str | None) -> str:
    if not user_data:
        return ""
    encoded = user_data if isinstance(user_data, Base64EncodedString) else Base64EncodedString(user_data)
    try:
        return encoded.decode()
    except UnicodeDecodeError:
        # Compressed user data is legal on EC2, and never ours.
        return "#\n"


_GUIDE = "https://docs.aws.amazon.com/AWSEC2/latest/UserGuide/"

CORRECTIONS = (
    Correction(
        name="instances-execute",
        statement="An instance runs its user data at launch and loses its processes when it stops or ends.",
        source=_GUIDE + "ec2-instance-lifecycle.html",
        anchors=(_RUN, _START, _STOP, _REBOOT, _TERMINATE),
        install=wrap(
            (_RUN, _launching),
            (_START, _starting),
            (_STOP, _stopping),
            (_REBOOT, _rebooting),
            (_TERMINATE, _terminating),
        ),
    ),
    Correction(
        name="launch-interfaces-end-with-instance",
        statement="A network interface made at launch ends with its instance unless told otherwise.",
        source=_GUIDE + "using-eni.html",
        anchors=(_INTERFACES,),
        install=wrap((_INTERFACES, _deleting_interfaces)),
    ),
    Correction(
        name="terminated-instances-disappear",
        statement="A terminated instance stays visible for a while and is then removed from the list.",
        source=_GUIDE + "terminating-instances.html",
        anchors=(_DESCRIBE,),
        install=wrap((_DESCRIBE, _hiding_terminated)),
    ),
    Correction(
        name="console-output-is-the-boot",
        statement="GetConsoleOutput returns what the instance wrote while it booted.",
        source="https://docs.aws.amazon.com/AWSEC2/latest/APIReference/API_GetConsoleOutput.html",
        anchors=(_CONSOLE,),
        install=wrap((_CONSOLE, instead(_get_console_output))),
    ),
)
