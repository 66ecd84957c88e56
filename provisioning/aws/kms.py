"""KMS: keys that somebody made."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from provisioning.aws.translation import translated

if TYPE_CHECKING:
    from collections.abc import Mapping


class Kms:
    """The KMS calls this project makes."""

    def __init__(self, client: Any) -> None:  # its types are not among those we install
        self._client = client

    @translated("kms:ListKeys")
    def key_ids(self) -> tuple[str, ...]:
        """Return the ids of all keys, AWS's own among them."""
        pages = self._client.get_paginator("list_keys").paginate()
        return tuple(key["KeyId"] for page in pages for key in page["Keys"])

    @translated("kms:DescribeKey")
    def is_in_use(self, key: str) -> bool:
        """Return whether a key is the account's own and is not about to be deleted."""
        facts = self._client.describe_key(KeyId=key)["KeyMetadata"]
        return bool(facts.get("KeyManager") == "CUSTOMER" and facts["KeyState"] != "PendingDeletion")

    @translated("kms:ListResourceTags")
    def tags(self, key: str) -> Mapping[str, str]:
        """Return the tags of a key."""
        pages = self._client.get_paginator("list_resource_tags").paginate(KeyId=key)
        return {tag["TagKey"]: tag["TagValue"] for page in pages for tag in page["Tags"]}
