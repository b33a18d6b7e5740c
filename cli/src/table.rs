//! Tables and field lists for people: no colour, no borders, columns two blanks apart.

use std::io::IsTerminal as _;

use comfy_table::{CellAlignment, ContentArrangement, presets};

/// A table being built.
pub(crate) struct Table {
    inner: comfy_table::Table,
}

impl Table {
    /// A table with these headings; one that starts with `>` is of numbers and is aligned to the right.
    pub(crate) fn new(headings: &[&str]) -> Self {
        let mut inner = comfy_table::Table::new();
        inner.load_style(presets::NOTHING);
        // On a terminal long cells are wrapped; in a file or pipe every row stays one line.
        if std::io::stdout().is_terminal() {
            inner.set_content_arrangement(ContentArrangement::Dynamic);
        }
        inner.set_header(headings.iter().map(|heading| heading.trim_start_matches('>').to_uppercase()));
        for (index, heading) in headings.iter().enumerate() {
            if let Some(column) = inner.column_mut(index) {
                column.set_padding((0, 2));
                if heading.starts_with('>') {
                    column.set_cell_alignment(CellAlignment::Right);
                }
            }
        }
        Self { inner }
    }

    /// Adds a row.
    pub(crate) fn row<const COLUMNS: usize>(&mut self, cells: [String; COLUMNS]) {
        self.inner.add_row(cells);
    }

    /// Adds a row of as many cells as there are headings.
    pub(crate) fn row_of(&mut self, cells: Vec<String>) {
        self.inner.add_row(cells);
    }

    /// The text.
    pub(crate) fn render(&self) -> String {
        self.inner.trim_fmt()
    }
}

/// `name  value` lines, the names padded to one width; what has no value is left out.
pub(crate) fn fields(fields: &[(&str, Option<String>)]) -> String {
    let width = fields.iter().map(|(name, _)| name.len()).max().unwrap_or(0);
    let mut text = String::new();
    for (name, value) in fields {
        if let Some(value) = value {
            text.push_str(&format!("{name:width$}  {value}\n"));
        }
    }
    text
}

/// The first 12 digits of an id: enough to be unique, and accepted wherever an id is.
pub(crate) fn short(id: &impl std::fmt::Display) -> String {
    id.to_string().chars().take(12).collect()
}

/// What decided about an access, a grant by its first digits.
pub(crate) fn basis(basis: &galen_types::access::Basis) -> String {
    match basis {
        galen_types::access::Basis::Grant { grant } => format!("grant {}", short(grant)),
        other => other.to_string(),
    }
}

/// Words joined by commas, or a dash.
pub(crate) fn joined<Item: std::fmt::Display>(items: impl IntoIterator<Item = Item>) -> String {
    let words: Vec<_> = items.into_iter().map(|item| item.to_string()).collect();
    if words.is_empty() { "-".to_owned() } else { words.join(", ") }
}

/// The text of a value, or a dash.
pub(crate) fn or_dash(value: Option<impl std::fmt::Display>) -> String {
    value.map_or_else(|| "-".to_owned(), |value| value.to_string())
}

/// A time to the second, as people read it.
pub(crate) fn time(time: galen_types::Timestamp) -> String {
    let text = time.to_string();
    format!("{} {}", text.get(..10).unwrap_or(&text), text.get(11..19).unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tables_are_plain_text_with_aligned_columns() {
        let mut table = Table::new(&["group", ">count", ">mean"]);
        table.row(["C".to_owned(), "366".to_owned(), "3083.5".to_owned()]);
        table.row(["T".to_owned(), "97".to_owned(), "3112.25".to_owned()]);
        assert_eq!(table.render(), "GROUP  COUNT     MEAN\nC        366   3083.5\nT         97  3112.25");
    }

    #[test]
    fn absent_fields_take_no_line() {
        let text =
            fields(&[("dataset", Some("harlem/opt".to_owned())), ("card", None), ("rows", Some("3".to_owned()))]);
        assert_eq!(text, "dataset  harlem/opt\nrows     3\n");
    }

    #[test]
    fn times_are_cut_to_seconds() {
        assert_eq!(time("2026-11-21T10:00:05.123Z".parse().unwrap()), "2026-11-21 10:00:05");
    }
}
