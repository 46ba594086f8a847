"""Does it work, on real events: everything started, data/obd replayed, and what was counted compared with what the files say."""
