//! `--dumpRequests`: requests and answers in clear text, for debugging. Off unless asked for. Readable by the user only.

use std::{
    fs::{self, File, OpenOptions},
    io::{self, Write as _},
    path::{Path, PathBuf},
};

/// The folder `requests/` of the workspace.
pub(crate) struct Dump {
    folder: PathBuf,
}

/// A file that an answer is written into as it comes.
pub(crate) struct DumpFile(Option<File>);

impl Dump {
    /// Makes the folder.
    pub(crate) fn open(workspace: &Path) -> io::Result<Self> {
        let folder = workspace.join("requests");
        let mut builder = fs::DirBuilder::new();
        builder.recursive(true);
        #[cfg(unix)]
        std::os::unix::fs::DirBuilderExt::mode(&mut builder, 0o700);
        builder.create(&folder)?;
        Ok(Self { folder })
    }

    /// Writes a request, before it is sealed.
    pub(crate) fn request(&self, id: &str, body: &[u8]) {
        self.create(id, "request").write(body);
    }

    /// Opens the file of a request that comes in pieces.
    pub(crate) fn request_file(&self, id: &str) -> DumpFile {
        self.create(id, "request")
    }

    /// Opens the file of an answer.
    pub(crate) fn response(&self, id: &str) -> DumpFile {
        self.create(id, "response")
    }

    fn create(&self, id: &str, what: &str) -> DumpFile {
        let path = self.folder.join(format!("{id}_{what}"));
        let mut options = OpenOptions::new();
        options.create_new(true).write(true);
        #[cfg(unix)]
        std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
        match options.open(&path) {
            Ok(file) => DumpFile(Some(file)),
            Err(error) => {
                tracing::warn!(%error, path = %path.display(), "cannot write a dump");
                DumpFile(None)
            }
        }
    }
}

impl DumpFile {
    /// Appends. A full disk ends the dump, not the request.
    pub(crate) fn write(&mut self, bytes: &[u8]) {
        if let Some(file) = &mut self.0
            && let Err(error) = file.write_all(bytes)
        {
            tracing::warn!(%error, "cannot write a dump");
            self.0 = None;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dumps_are_for_the_user_only() {
        let workspace = tempfile::tempdir().unwrap();
        let dump = Dump::open(workspace.path()).unwrap();
        dump.request("id", b"prompt");
        let mut response = dump.response("id");
        response.write(b"ans");
        response.write(b"wer");
        let folder = workspace.path().join("requests");
        assert_eq!(fs::read(folder.join("id_request")).unwrap(), b"prompt");
        assert_eq!(fs::read(folder.join("id_response")).unwrap(), b"answer");
        #[cfg(unix)]
        {
            use std::os::unix::fs::PermissionsExt as _;
            let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
            assert_eq!((mode(&folder), mode(&folder.join("id_request"))), (0o700, 0o600));
        }
    }
}
