SHARES = {}
