"""The disk and the memory fail while the platform writes."""
