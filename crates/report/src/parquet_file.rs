//! Tables as Parquet files, which data frames read with their types.

use std::io::{self, Write};
use std::sync::Arc;

use parquet::basic::{LogicalType, Repetition, Type as Physical};
use parquet::data_type::{BoolType, ByteArray, ByteArrayType, DataType, DoubleType, Int64Type};
use parquet::errors::ParquetError;
use parquet::file::properties::WriterProperties;
use parquet::file::writer::{SerializedColumnWriter, SerializedFileWriter};
use parquet::schema::types::Type;

use crate::table::{Cell, Column, Kind, Table};

/// Writes the table as one Parquet file, uncompressed. Each column is optional; the same table is the same bytes.
///
/// # Errors
/// When `out` takes no more.
pub fn write_parquet(table: &Table, out: &mut (dyn Write + Send)) -> io::Result<()> {
    write(table, out).map_err(io::Error::other)
}

fn write(table: &Table, out: &mut (dyn Write + Send)) -> Result<(), ParquetError> {
    let columns = table.schema.columns;
    let fields = columns.iter().map(|column| Ok(Arc::new(field(column)?)));
    let schema = Type::group_type_builder(table.schema.name)
        .with_fields(fields.collect::<Result<_, ParquetError>>()?)
        .build()?;
    let properties = Arc::new(WriterProperties::builder().build());
    let mut file = SerializedFileWriter::new(out, Arc::new(schema), properties)?;
    let mut group = file.next_row_group()?;
    let mut place = 0;
    while let Some(mut writer) = group.next_column()? {
        let cells = || table.rows.iter().map(move |row| &row[place]);
        match columns[place].kind {
            Kind::Text => put::<ByteArrayType>(&mut writer, cells(), |cell| match cell {
                Cell::Text(text) => Some(ByteArray::from(text.as_str())),
                _ => None,
            })?,
            Kind::Whole => put::<Int64Type>(&mut writer, cells(), |cell| match cell {
                Cell::Whole(number) => Some(*number),
                _ => None,
            })?,
            Kind::Real => put::<DoubleType>(&mut writer, cells(), |cell| match cell {
                Cell::Real(number) => Some(*number),
                _ => None,
            })?,
            Kind::Flag => put::<BoolType>(&mut writer, cells(), |cell| match cell {
                Cell::Flag(flag) => Some(*flag),
                _ => None,
            })?,
        }
        writer.close()?;
        place += 1;
    }
    group.close()?;
    file.close()?;
    Ok(())
}

fn field(column: &Column) -> Result<Type, ParquetError> {
    let (physical, logical) = match column.kind {
        Kind::Text => (Physical::BYTE_ARRAY, Some(LogicalType::String)),
        Kind::Whole => (Physical::INT64, None),
        Kind::Real => (Physical::DOUBLE, None),
        Kind::Flag => (Physical::BOOLEAN, None),
    };
    Type::primitive_type_builder(column.name, physical)
        .with_repetition(Repetition::OPTIONAL)
        .with_logical_type(logical)
        .build()
}

fn put<'a, T: DataType>(
    writer: &mut SerializedColumnWriter<'_>,
    cells: impl Iterator<Item = &'a Cell>,
    value: impl Fn(&Cell) -> Option<T::T>,
) -> Result<(), ParquetError> {
    let cells: Vec<Option<T::T>> = cells.map(value).collect();
    let levels: Vec<i16> = cells.iter().map(|cell| i16::from(cell.is_some())).collect();
    let values: Vec<T::T> = cells.into_iter().flatten().collect();
    writer
        .typed::<T>()
        .write_batch(&values, Some(&levels), None)?;
    Ok(())
}
