"""Sends files of events to a collector: reads them as requests, and sends the requests in lanes, one for each user."""
