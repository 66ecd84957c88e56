"""A model behind a SageMaker endpoint: the package AWS's containers open, and what runs inside them."""
