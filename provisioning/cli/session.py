"""From settings to AWS: which endpoint, which credentials, and what to say about it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from provisioning.cli.options import require_region

if TYPE_CHECKING:
    from provisioning.aws import Aws
    from provisioning.cli.options import Context
    from provisioning.deployment import Deployment
    from provisioning.operations import HostCalls


def open_aws(context: Context) -> Aws:
    """Return the AWS edge for these settings, starting the embedded AWS when --emulate needs it."""
    from provisioning.aws import connect

    settings = context.settings
    region = require_region(settings)
    if settings.emulate:
        return _emulated(context, region)
    if settings.endpoint_url:
        context.console.say(f"AWS calls go to {settings.endpoint_url}, not to AWS.")
    return connect(region, profile=settings.profile, endpoint_url=settings.endpoint_url)


def _emulated(context: Context, region: str) -> Aws:
    from provisioning.aws import Credentials, connect
    from provisioning.emulator import service

    state_dir = service.default_state_dir()
    running = service.find(state_dir)
    if running is None:
        with context.console.activity("starting the embedded AWS"):
            running = service.start(state_dir)
    context.console.say(f"Emulated: AWS calls go to {running.endpoint_url} on this machine.")
    keys = Credentials(access_key=running.access_key, secret_key=running.secret_key)
    return connect(region, endpoint_url=running.endpoint_url, credentials=keys)


def open_hosts(context: Context) -> HostCalls:
    """Return what operations on the deployment's hosts need; raise `NotFound` without a deployment."""
    from provisioning.deployment import observe_deployment
    from provisioning.errors import NotFound

    aws = open_aws(context)
    try:
        deployment = observe_deployment(aws, context.settings.name)
    except NotFound as error:
        raise NotFound(error.message, f"Make it with: {context.settings.command('setup')}") from error
    return host_calls(context, aws, deployment)


def host_calls(context: Context, aws: Aws, deployment: Deployment) -> HostCalls:
    """Return what operations on the hosts of an observed deployment need."""
    from provisioning.operations import HostCalls
    from provisioning.waiting import SystemClock

    return HostCalls(
        aws=aws,
        deployment=deployment,
        clock=SystemClock(),
        say=context.console.detail,
        tell_host=context.console.host,
        emulated=context.settings.emulated,
    )
