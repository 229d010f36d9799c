"""The page: restoration in the browser, served to this machine only."""
