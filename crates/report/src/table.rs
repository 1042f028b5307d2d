//! Tables that machines read: the same rows as JSON, CSV and Parquet.

use std::io::{self, Write};

use serde_json::{Map, Value};

/// What stands in a column.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// UTF-8.
    Text,
    /// A whole number of up to 63 bits.
    Whole,
    /// A number of double precision, always finite.
    Real,
    /// True or false.
    Flag,
}

impl Kind {
    /// The word for it in the schema.
    pub fn name(self) -> &'static str {
        match self {
            Kind::Text => "text",
            Kind::Whole => "whole number",
            Kind::Real => "number",
            Kind::Flag => "true or false",
        }
    }
}

/// One column.
#[derive(Clone, Copy, Debug)]
pub struct Column {
    /// Its name.
    pub name: &'static str,
    /// What stands in it. Any cell may be empty.
    pub kind: Kind,
    /// What it means.
    pub about: &'static str,
}

/// A table's name and columns.
#[derive(Clone, Copy, Debug)]
pub struct Schema {
    /// Name of the table, and of its file.
    pub name: &'static str,
    /// What one row is.
    pub about: &'static str,
    /// Its columns, in order.
    pub columns: &'static [Column],
}

/// A value in a table.
#[derive(Clone, Debug, PartialEq)]
pub enum Cell {
    /// Nothing is known, or nothing would be true.
    Empty,
    /// See [`Kind::Text`].
    Text(String),
    /// See [`Kind::Whole`].
    Whole(i64),
    /// See [`Kind::Real`].
    Real(f64),
    /// See [`Kind::Flag`].
    Flag(bool),
}

impl From<&str> for Cell {
    fn from(text: &str) -> Self {
        Cell::Text(text.to_owned())
    }
}

impl From<String> for Cell {
    fn from(text: String) -> Self {
        Cell::Text(text)
    }
}

impl From<u64> for Cell {
    fn from(number: u64) -> Self {
        Cell::Whole(i64::try_from(number).unwrap_or(i64::MAX))
    }
}

impl From<usize> for Cell {
    fn from(number: usize) -> Self {
        Cell::from(number as u64)
    }
}

impl From<f64> for Cell {
    fn from(number: f64) -> Self {
        if number.is_finite() {
            Cell::Real(number)
        } else {
            Cell::Empty
        }
    }
}

impl From<bool> for Cell {
    fn from(flag: bool) -> Self {
        Cell::Flag(flag)
    }
}

impl<T: Into<Cell>> From<Option<T>> for Cell {
    fn from(value: Option<T>) -> Self {
        value.map_or(Cell::Empty, Into::into)
    }
}

/// A table.
#[derive(Clone, Debug)]
pub struct Table {
    /// Its name and columns.
    pub schema: Schema,
    /// Its rows, each with a cell for each column.
    pub rows: Vec<Vec<Cell>>,
}

impl Table {
    /// A table without rows.
    pub(crate) fn new(schema: Schema) -> Self {
        Table {
            schema,
            rows: Vec::new(),
        }
    }

    pub(crate) fn push(&mut self, row: Vec<Cell>) {
        debug_assert_eq!(row.len(), self.schema.columns.len(), "{}", self.schema.name);
        self.rows.push(row);
    }

    /// The cell of a row in the column of this name; empty where there is no such column.
    pub fn cell<'a>(&self, row: &'a [Cell], name: &str) -> &'a Cell {
        let place = self
            .schema
            .columns
            .iter()
            .position(|column| column.name == name);
        place
            .and_then(|place| row.get(place))
            .unwrap_or(&Cell::Empty)
    }

    /// An array of objects.
    pub fn to_json(&self) -> Value {
        let rows = self.rows.iter().map(|row| {
            let cells = self.schema.columns.iter().zip(row);
            let object: Map<String, Value> = cells
                .map(|(column, cell)| {
                    let value = match cell {
                        Cell::Empty => Value::Null,
                        Cell::Text(text) => Value::from(text.as_str()),
                        Cell::Whole(number) => Value::from(*number),
                        Cell::Real(number) => Value::from(*number),
                        Cell::Flag(flag) => Value::from(*flag),
                    };
                    (column.name.to_owned(), value)
                })
                .collect();
            Value::Object(object)
        });
        Value::Array(rows.collect())
    }

    /// Writes the table as CSV (RFC 4180): a line of names, then the rows. Empty cells are empty; text that is empty is `""`.
    ///
    /// # Errors
    /// When `out` takes no more.
    pub fn write_csv(&self, out: &mut dyn Write) -> io::Result<()> {
        let names: Vec<&str> = self
            .schema
            .columns
            .iter()
            .map(|column| column.name)
            .collect();
        write!(out, "{}\r\n", names.join(","))?;
        for row in &self.rows {
            for (place, cell) in row.iter().enumerate() {
                if place > 0 {
                    out.write_all(b",")?;
                }
                match cell {
                    Cell::Empty => {}
                    Cell::Text(text) => out.write_all(quoted(text).as_bytes())?,
                    Cell::Whole(number) => write!(out, "{number}")?,
                    // The shortest text that reads back as the same number.
                    Cell::Real(number) => write!(out, "{number:?}")?,
                    Cell::Flag(flag) => write!(out, "{flag}")?,
                }
            }
            out.write_all(b"\r\n")?;
        }
        Ok(())
    }
}

fn quoted(text: &str) -> String {
    let plain = !text.is_empty() && !text.contains(['"', ',', '\r', '\n']);
    if plain {
        text.to_owned()
    } else {
        format!("\"{}\"", text.replace('"', "\"\""))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SCHEMA: Schema = Schema {
        name: "t",
        about: "",
        columns: &[
            Column {
                name: "a",
                kind: Kind::Text,
                about: "",
            },
            Column {
                name: "b",
                kind: Kind::Real,
                about: "",
            },
            Column {
                name: "c",
                kind: Kind::Whole,
                about: "",
            },
        ],
    };

    #[test]
    fn text_of_any_kind_stays_one_cell() {
        let mut table = Table::new(SCHEMA);
        table.push(vec!["x, \"y\"\nz".into(), 0.1.into(), 3_u64.into()]);
        table.push(vec!["".into(), f64::NAN.into(), Cell::Empty]);
        table.push(vec!["plain".into(), 1e-20.into(), u64::MAX.into()]);
        let mut out = Vec::new();
        table.write_csv(&mut out).unwrap();
        assert_eq!(
            String::from_utf8(out).unwrap(),
            "a,b,c\r\n\"x, \"\"y\"\"\nz\",0.1,3\r\n\"\",,\r\nplain,1e-20,9223372036854775807\r\n"
        );
        assert_eq!(
            table.to_json()[1],
            serde_json::json!({ "a": "", "b": null, "c": null })
        );
    }
}
