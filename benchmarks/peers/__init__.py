"""The product beside the tools that people distil with: the same student, teachers, batches and loss."""
