//! What the result must equal: every hospital's rows in one place, counted and averaged in two passes. It shares no
//! code with the nodes', which never see rows of another hospital.

use std::collections::BTreeMap;

use super::cast::wrong;
use super::files::SiteFile;
use crate::error::TestnetError;

/// The step that errors are reported of.
const STEP: &str = "compute";

/// The statistics of one column over rows in one place.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct PooledColumn {
    /// Rows without a value or without a group.
    pub(super) missing: u64,
    /// By group.
    pub(super) groups: BTreeMap<String, PooledGroup>,
}

/// The statistics of one group.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct PooledGroup {
    pub(super) count: u64,
    pub(super) mean: f64,
    /// With divisor n - 1.
    pub(super) variance: f64,
}

/// Computes one column by groups over the files.
pub(super) fn pool<'files>(
    files: impl Iterator<Item = &'files SiteFile>,
    column: &str,
    by: &str,
) -> Result<PooledColumn, TestnetError> {
    let mut missing = 0;
    let mut values: BTreeMap<String, Vec<f64>> = BTreeMap::new();
    for file in files {
        let text = std::str::from_utf8(&file.bytes).map_err(|error| wrong(STEP, error.to_string()))?;
        if text.contains('"') {
            return Err(wrong(STEP, format!("the file of {} has quoted values, which are not read here", file.member)));
        }
        let mut lines = text.lines();
        let header: Vec<&str> = lines.next().unwrap_or_default().split(',').collect();
        let place = |name: &str| {
            let found = header.iter().position(|heading| heading.trim() == name);
            found.ok_or_else(|| wrong(STEP, format!("the file of {} has no column {name}", file.member)))
        };
        let (column, by) = (place(column)?, place(by)?);
        for line in lines {
            let cells: Vec<&str> = line.split(',').collect();
            let cell =
                |place: usize| cells.get(place).map(|cell| cell.trim()).filter(|cell| !matches!(*cell, "" | "."));
            match (cell(column), cell(by)) {
                (Some(value), Some(group)) => {
                    let value = value.parse().map_err(|_| wrong(STEP, format!("`{value}` is no number")))?;
                    values.entry(group.to_owned()).or_default().push(value);
                }
                _ => missing += 1,
            }
        }
    }
    let groups = values.into_iter().map(|(group, values)| (group, two_pass(&values))).collect();
    Ok(PooledColumn { missing, groups })
}

#[expect(clippy::cast_precision_loss, reason = "a file has far fewer than 2^53 rows")]
fn two_pass(values: &[f64]) -> PooledGroup {
    let count = values.len() as f64;
    let mean = values.iter().sum::<f64>() / count;
    let deviations: f64 = values.iter().map(|value| (value - mean) * (value - mean)).sum();
    PooledGroup { count: values.len() as u64, mean, variance: deviations / (count - 1.0) }
}

/// Whether two numbers are equal to 1e-9 of the greater.
pub(super) fn close(left: f64, right: f64) -> bool {
    (left - right).abs() <= 1e-9 * left.abs().max(right.abs())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_of_all_files_are_one_table() {
        let file = |text: &'static str| SiteFile { member: "a".parse().unwrap(), bytes: text.as_bytes().into() };
        let files = [file("x,g\n1,T \n3,T\n"), file("g,x\nT,5\nC, . \nC,2\nC,4\n ,9\n")];
        let pooled = pool(files.iter(), "x", "g").unwrap();
        assert_eq!(pooled.missing, 2, "no value, no group");
        assert_eq!(pooled.groups["T"], PooledGroup { count: 3, mean: 3.0, variance: 4.0 });
        assert_eq!(pooled.groups["C"], PooledGroup { count: 2, mean: 3.0, variance: 2.0 });
        assert!(pool(files.iter(), "y", "g").unwrap_err().to_string().contains("no column y"));
    }

    #[test]
    fn the_shipped_files_give_the_published_numbers() {
        let age = pool(SiteFile::shipped().unwrap().iter(), "Age", "Clinic").unwrap();
        assert_eq!(age.groups.values().map(|group| group.count).sum::<u64>(), 823);
        assert!(close(age.groups["KY"].mean, 24.739_336_492_890_995));
        assert!(close(age.groups["KY"].variance, 30.993_635_748_138_118));
        assert!(!close(1.0, 1.0 + 1e-8));
    }
}
