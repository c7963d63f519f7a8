"""How the worklist's database came to be, step by step; `worklist.store.Store` brings any earlier one up to date."""
