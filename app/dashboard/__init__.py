"""Server of the dashboard: one page and its data from one origin, asked of workers and collectors over HTTP."""
