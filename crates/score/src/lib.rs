//! Builds a submission, runs every case, compares bytes, gives the verdict
