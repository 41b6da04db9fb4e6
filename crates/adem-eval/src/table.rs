//! Aligned columns of text.

use std::fmt;

/// On which side a column's texts are flush.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Align {
    /// Words.
    Left,
    /// Numbers.
    Right,
}

/// A table for the terminal; also valid Markdown.
#[derive(Debug, Clone)]
pub struct Table {
    columns: Vec<(String, Align)>,
    rows: Vec<Vec<String>>,
}

impl Table {
    /// A table with these columns and no row yet.
    pub fn new<S: Into<String>>(columns: impl IntoIterator<Item = (S, Align)>) -> Self {
        let columns = columns
            .into_iter()
            .map(|(name, align)| (name.into(), align))
            .collect();
        Self {
            columns,
            rows: Vec::new(),
        }
    }

    /// Adds a row; cells beyond the columns are left out.
    pub fn row<S: Into<String>>(&mut self, cells: impl IntoIterator<Item = S>) {
        self.rows.push(cells.into_iter().map(Into::into).collect());
    }

    fn widths(&self) -> Vec<usize> {
        let cells = |at: usize| self.rows.iter().filter_map(move |row| row.get(at));
        let columns = self.columns.iter().enumerate();
        columns
            .map(|(at, (name, _))| cells(at).chain([name]).map(|c| c.chars().count()).max())
            .map(|width| width.unwrap_or(0).max(3))
            .collect()
    }

    fn line(&self, f: &mut fmt::Formatter<'_>, cells: &[String], widths: &[usize]) -> fmt::Result {
        for (at, (width, (_, align))) in widths.iter().zip(&self.columns).enumerate() {
            let cell = cells.get(at).map_or("", String::as_str);
            match align {
                Align::Left => write!(f, "| {cell:<width$} ")?,
                Align::Right => write!(f, "| {cell:>width$} ")?,
            }
        }
        writeln!(f, "|")
    }
}

impl fmt::Display for Table {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let widths = self.widths();
        let names: Vec<String> = self.columns.iter().map(|(name, _)| name.clone()).collect();
        self.line(f, &names, &widths)?;
        for (width, (_, align)) in widths.iter().zip(&self.columns) {
            match align {
                Align::Left => write!(f, "|{:-<1$}", "", width + 2)?,
                Align::Right => write!(f, "|{:-<1$}:", "", width + 1)?,
            }
        }
        writeln!(f, "|")?;
        self.rows
            .iter()
            .try_for_each(|row| self.line(f, row, &widths))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_are_aligned_and_read_as_markdown() {
        let mut table = Table::new([("row", Align::Left), ("%", Align::Right)]);
        table.row(["as trained", "97.5"]);
        table.row(["alpha = 0", "3"]);
        let expected = "\
| row        |    % |
|------------|-----:|
| as trained | 97.5 |
| alpha = 0  |    3 |
";
        assert_eq!(table.to_string(), expected);
    }
}
