//! Failed hidden cases with their inputs and both outputs, for the benchmark's owners.

use std::io;
use std::path::Path;

use serde_json::{Value, json};
use target::{Case, Fixtures};

use crate::verdict::{CaseOutcome, CaseResult, Split, write_whole};

/// Writes `hidden-differences.json`, readable by its owner alone. `results` are those of the runner,
/// before the verdict took the contexts of hidden cases away.
///
/// # Errors
/// When the file cannot be written.
pub fn reveal(path: &Path, hidden: &[Case], results: &[CaseResult]) -> io::Result<()> {
    use std::os::unix::fs::PermissionsExt;
    let failed: Vec<Value> = hidden
        .iter()
        .filter_map(|case| {
            let result = results.iter().find(|result| {
                result.id == case.id
                    && result.split == Split::Hidden
                    && result.outcome != CaseOutcome::Pass
            })?;
            Some(json!({ "result": result, "case": case.to_json(&Fixtures::none()) }))
        })
        .collect();
    let text = serde_json::to_vec_pretty(&failed).map_err(io::Error::other)?;
    write_whole(path, &text)?;
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o600))
}
