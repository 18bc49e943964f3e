//! A part's command line.

use std::ffi::OsString;
use std::path::Path;

/// Flags in the order in which they were added.
#[derive(Debug)]
pub(crate) struct Flags(pub(crate) Vec<OsString>);

impl Flags {
    pub(crate) fn new() -> Self {
        Self(Vec::new())
    }

    pub(crate) fn flag(&mut self, name: &str) -> &mut Self {
        self.0.push(name.into());
        self
    }

    pub(crate) fn text(&mut self, name: &str, value: &str) -> &mut Self {
        self.0.extend([name.into(), value.into()]);
        self
    }

    pub(crate) fn path(&mut self, name: &str, value: &Path) -> &mut Self {
        self.0.extend([name.into(), value.into()]);
        self
    }
}
