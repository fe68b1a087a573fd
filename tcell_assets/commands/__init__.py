"""The subcommands of `tcell`, one file each; `tcell_assets.cli` lists them."""
