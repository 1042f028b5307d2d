//! The documentation names every table and column as they are written.

use std::fs;
use std::path::Path;

use report::schema::TABLES;

const MARK: &str =
    "<!-- From here on written by `MIRRORCODE_UPDATE=1 cargo test -p report --test schema`. -->\n";

#[test]
fn the_documentation_names_every_column() {
    let mut expected = String::new();
    for table in TABLES {
        expected.push_str(&format!(
            "\n### {}\n\nOne row for {}.\n\n",
            table.name, table.about
        ));
        expected.push_str("| column | holds | meaning |\n| --- | --- | --- |\n");
        for column in table.columns {
            expected.push_str(&format!(
                "| `{}` | {} | {} |\n",
                column.name,
                column.kind.name(),
                column.about
            ));
        }
    }
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/src/results.md");
    let text = fs::read_to_string(&path).unwrap();
    let (before, written) = text.split_once(MARK).expect("the mark stands in the page");
    if std::env::var_os("MIRRORCODE_UPDATE").is_some() {
        fs::write(&path, format!("{before}{MARK}{expected}")).unwrap();
    } else {
        assert!(
            written == expected,
            "docs/src/results.md: the tables have changed; run with MIRRORCODE_UPDATE=1"
        );
    }
}
