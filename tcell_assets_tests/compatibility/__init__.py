"""What earlier versions wrote goes on: the same tables from the same files, the same files from the same tables."""
