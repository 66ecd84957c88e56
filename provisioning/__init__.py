"""The decisions over AWS, the AWS edge, and the shell a person types into."""
