"""The shared compile cache, by option, environment or `[cache]`: used only where somebody asks for it."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

if TYPE_CHECKING:
    from provisioning.cli.options import Context
    from provisioning.shared_cache import SharedCache

cache_bucket_option = click.option(
    "--cache-bucket",
    envvar="AMAZONEI_CACHE_BUCKET",
    metavar="BUCKET[/PREFIX]",
    help="Share races of lanes with other machines through this bucket.  [default: none]",
)


def shared_cache(context: Context, given: str | None) -> SharedCache | None:
    """Return the cache to share, or None when nobody named one, or it cannot be asked; raise `BadRequest`."""
    from provisioning.config import parse_cache

    found = parse_cache(context.document, given)
    if found is None:
        return None
    from artifacts.compile.cache import Store, cache_directory
    from provisioning.cli.session import open_aws
    from provisioning.errors import AwsError
    from provisioning.shared_cache import Place, SharedCache

    try:
        objects = open_aws(context).optional_s3
    except AwsError as error:
        context.console.warn(f"The shared cache s3://{found.bucket} is left alone: {error.message}")
        return None
    place = Place(bucket=found.bucket, prefix=found.prefix)
    return SharedCache(objects=objects, place=place, store=Store(cache_directory()))
