"""The AWS edge: one class per service, one method per API call, errors translated in one place."""
