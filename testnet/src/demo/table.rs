//! Plain tables of text.

/// Rows with their cells padded to columns; columns from `right_from` on are aligned to the right.
pub(super) fn render(rows: &[Vec<String>], right_from: usize) -> Vec<String> {
    let columns = rows.iter().map(Vec::len).max().unwrap_or(0);
    let width = |column: usize| {
        rows.iter().filter_map(|row| row.get(column)).map(|cell| cell.chars().count()).max().unwrap_or(0)
    };
    let widths: Vec<usize> = (0..columns).map(width).collect();
    let line = |row: &Vec<String>| {
        let cells = row.iter().zip(&widths).enumerate().map(|(column, (cell, &width))| {
            if column >= right_from { format!("{cell:>width$}") } else { format!("{cell:<width$}") }
        });
        cells.collect::<Vec<_>>().join("  ").trim_end().to_owned()
    };
    rows.iter().map(line).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_end_where_their_column_ends() {
        let row = |cells: [&str; 3]| cells.map(str::to_owned).to_vec();
        let lines = render(&[row(["group", "by", "mean"]), row(["C", "x", "3083.5"])], 2);
        assert_eq!(lines, ["group  by    mean", "C      x   3083.5"]);
    }
}
