"""Budgets: by name, because their tags are a permission of their own."""

from __future__ import annotations

from typing import Any

from provisioning.aws.translation import translated


class Budgets:
    """The Budgets calls this project makes."""

    def __init__(self, client: Any) -> None:  # its types are not among those we install
        self._client = client

    @translated("budgets:DescribeBudgets")
    def names(self, account: str) -> tuple[str, ...]:
        """Return the names of an account's budgets."""
        pages = self._client.get_paginator("describe_budgets").paginate(AccountId=account)
        return tuple(budget["BudgetName"] for page in pages for budget in page.get("Budgets", ()))
