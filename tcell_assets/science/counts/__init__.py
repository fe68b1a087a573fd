"""UMI counts: how they are kept, and how they become variance-stabilised expression."""
