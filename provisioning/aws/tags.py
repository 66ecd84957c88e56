"""AWS's lists of key and value pairs, as mappings and back."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from typing import TypedDict

    from mypy_boto3_ec2.type_defs import FilterTypeDef

    class TagDict(TypedDict):
        """A tag as most services take it."""

        Key: str
        Value: str


def as_mapping(tags: Iterable[Mapping[str, object]]) -> Mapping[str, str]:
    """Return tags as any service answers them, as a mapping."""
    return {str(tag["Key"]): str(tag.get("Value", "")) for tag in tags}


def as_list(tags: Mapping[str, str]) -> list[TagDict]:
    """Return tags as AWS takes them."""
    return [{"Key": key, "Value": value} for key, value in tags.items()]


def as_filters(tags: Mapping[str, str | None]) -> list[FilterTypeDef]:
    """Return EC2 filters for tags; a value of None means any value."""
    return [
        {"Name": "tag-key", "Values": [key]} if value is None else {"Name": f"tag:{key}", "Values": [value]}
        for key, value in tags.items()
    ]
