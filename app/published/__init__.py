"""What other programs read: JSON Schemas and the AsyncAPI document."""
