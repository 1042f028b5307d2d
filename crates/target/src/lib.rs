//! Targets, cases and languages: reading them, drawing cases from families, capturing expected output
