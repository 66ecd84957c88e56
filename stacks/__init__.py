"""What lasts: the CDK stacks of a deployment."""
