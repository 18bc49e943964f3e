//! Stop strings: text is held back for as long as it may still become one, so a client never sees part of one.

/// Watches the text of one generation.
#[derive(Debug)]
pub(crate) struct StopFilter {
    stops: Vec<String>,
    held: String,
}

/// What a piece of text led to.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Passed {
    /// What may be shown now.
    pub(crate) text: String,
    /// The stop string that ended the text, if one did.
    pub(crate) stopped_by: Option<String>,
}

impl StopFilter {
    /// Empty strings stop nothing.
    pub(crate) fn new(stops: &[String]) -> Self {
        Self { stops: stops.iter().filter(|stop| !stop.is_empty()).cloned().collect(), held: String::new() }
    }

    pub(crate) fn push(&mut self, text: &str) -> Passed {
        self.held.push_str(text);
        // The earliest one counts; of two at the same place, the longer, so that nothing of it is left over.
        let found = self
            .stops
            .iter()
            .filter_map(|stop| {
                self.held.find(stop.as_str()).map(|at| (at, std::cmp::Reverse(stop.len()), stop))
            })
            .min();
        if let Some((at, _, stop)) = found {
            let stopped_by = Some(stop.clone());
            self.held.truncate(at);
            return Passed { text: std::mem::take(&mut self.held), stopped_by };
        }
        let undecided = self.undecided();
        let rest = self.held.split_off(self.held.len() - undecided);
        Passed { text: std::mem::replace(&mut self.held, rest), stopped_by: None }
    }

    /// The generation is over: what was held back was no stop string.
    pub(crate) fn finish(&mut self) -> String {
        std::mem::take(&mut self.held)
    }

    /// Length of the longest end of the text that begins a stop string.
    fn undecided(&self) -> usize {
        let starts = self.held.char_indices().map(|(at, _)| &self.held[at..]);
        let mut undecided = starts.filter(|end| self.stops.iter().any(|stop| stop.starts_with(end)));
        undecided.next().map_or(0, str::len)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn run(stops: &[&str], pieces: &[&str]) -> (Vec<String>, Option<String>) {
        let stops: Vec<String> = stops.iter().map(ToString::to_string).collect();
        let mut filter = StopFilter::new(&stops);
        let mut shown = Vec::new();
        for piece in pieces {
            let passed = filter.push(piece);
            shown.push(passed.text);
            if passed.stopped_by.is_some() {
                return (shown, passed.stopped_by);
            }
        }
        shown.push(filter.finish());
        (shown, None)
    }

    #[test]
    fn a_stop_string_over_three_pieces_is_never_shown() {
        let (shown, by) = run(&["STOP"], &["hello S", "TO", "P and more"]);
        assert_eq!(
            (shown, by.as_deref()),
            (vec!["hello ".into(), String::new(), String::new()], Some("STOP"))
        );
    }

    #[test]
    fn a_false_start_is_released_as_soon_as_it_is_one() {
        let (shown, by) = run(&["STOP"], &["a ST", "ART"]);
        assert_eq!((shown, by), (vec!["a ".into(), "START".into(), String::new()], None));
    }

    #[test]
    fn what_is_held_at_the_end_is_shown() {
        assert_eq!(run(&["\n\n"], &["end\n"]).0, ["end", "\n"]);
    }

    #[test]
    fn the_earliest_and_then_the_longest_wins() {
        assert_eq!(run(&["cd", "bc"], &["abcd"]), (vec!["a".into()], Some("bc".into())));
        assert_eq!(run(&["b", "bc"], &["abcd"]), (vec!["a".into()], Some("bc".into())));
    }

    #[test]
    fn overlapping_starts_and_other_scripts() {
        assert_eq!(
            run(&["aab"], &["aa", "a", "b"]),
            (vec![String::new(), "a".into(), String::new()], Some("aab".into()))
        );
        assert_eq!(run(&["é!"], &["caf", "é", "?"]).0, ["caf", "", "é?", ""]);
        assert_eq!(run(&[""], &["text"]).0, ["text", ""]);
    }
}
