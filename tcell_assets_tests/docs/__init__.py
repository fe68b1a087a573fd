"""The documentation against the code: commands run, contracts are whole, the site builds."""
