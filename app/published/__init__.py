"""Documents for other programs: JSON Schemas and the AsyncAPI document."""
