"""What ``zeekspy top`` shows: lines of text from a View, and the Textual app that keeps them up to date."""
