//! Standard output carries data, standard error carries talk.

use std::io::Write;

/// Writes data a caller may read: one line to standard output.
pub(crate) fn data(line: &str) {
    // A closed pipe (`… | head -1`) is the reader's choice and no failure of ours.
    let _ = writeln!(std::io::stdout(), "{line}");
}

/// Says something to the person in front of the terminal.
pub(crate) fn say(line: &str) {
    let _ = writeln!(std::io::stderr(), "{line}");
}

/// Says what went wrong, with every cause once.
pub(crate) fn error(error: &anyhow::Error) {
    say(&format!("error: {error}"));
    for cause in error.chain().skip(1) {
        say(&format!("  because: {cause}"));
    }
}

/// Lines up `rows` under `headings`; the last column is not padded.
pub(crate) fn table(headings: &[&str], rows: &[Vec<String>]) -> String {
    let width = |column: usize| {
        let cells = rows.iter().filter_map(|row| row.get(column)).map(|cell| cell.chars().count());
        cells.chain(headings.get(column).map(|heading| heading.chars().count())).max().unwrap_or(0)
    };
    let line = |cells: Vec<&str>| {
        let last = cells.len().saturating_sub(1);
        let cells = cells.iter().enumerate();
        let padded: Vec<String> = cells
            .map(|(index, cell)| {
                let width = if index == last { 0 } else { width(index) };
                format!("{cell:<width$}")
            })
            .collect();
        padded.join("  ")
    };
    let mut lines = vec![line(headings.to_vec())];
    lines.extend(rows.iter().map(|row| line(row.iter().map(String::as_str).collect())));
    lines.join("\n")
}

#[cfg(test)]
mod tests {
    use super::table;

    #[test]
    fn columns_line_up_whatever_their_width() {
        let rows = [vec!["a".to_owned(), "b".to_owned()], vec!["größer".to_owned(), "c".to_owned()]];
        assert_eq!(table(&["ID", "NAME"], &rows), "ID      NAME\na       b\ngrößer  c");
    }
}
