"""What the operating system offers: files that survive interruptions, and processes."""
