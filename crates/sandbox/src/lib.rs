//! Runs a command that sees only the files it is given, under limits, and returns bytes, status and usage
