"""Import of past events from files: the meaning of rows, how they are sent, and how an import resumes."""
