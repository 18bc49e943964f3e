//! Where a model's files come from: the demonstration model in this binary, a path, or a model hub.
//! Parses nothing; [`crate::load`] does.

pub(crate) mod demo;
pub(crate) mod hub;
pub(crate) mod progress;

use std::fs::File;
use std::io::{BufReader, Cursor};
use std::path::{Path, PathBuf};

use crate::error::LoadError;
use crate::model::weights::WeightFile;

/// The files of one model.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Bundle {
    files: Files,
    /// The weights, if they are one GGUF file; safetensors otherwise.
    pub(crate) gguf: Option<String>,
    /// What to call the model when nothing else is asked for.
    pub(crate) name: String,
}

#[derive(Debug, PartialEq, Eq)]
enum Files {
    Directory(PathBuf),
    Embedded(&'static [(&'static str, &'static [u8])]),
}

/// Side files are small; a larger one is not what its name says.
const MAX_SIDE_FILE: u64 = 256 << 20;

impl Bundle {
    pub(crate) fn embedded(name: &str, gguf: &str, files: &'static [(&'static str, &'static [u8])]) -> Self {
        Self { files: Files::Embedded(files), gguf: Some(gguf.to_owned()), name: name.to_owned() }
    }

    /// A directory, or a `.gguf` file with whatever lies beside it.
    pub(crate) fn at_path(path: &Path) -> Result<Self, LoadError> {
        let file_name = |path: &Path| path.file_name().map(|name| name.to_string_lossy().into_owned());
        if path.is_file() {
            let file = file_name(path).filter(|name| name.ends_with(".gguf"));
            let file = file.ok_or_else(|| LoadError::NoModel { path: path.to_owned() })?;
            let parent = path.parent().filter(|parent| !parent.as_os_str().is_empty());
            let directory = parent.unwrap_or(Path::new(".")).to_owned();
            let name = file.trim_end_matches(".gguf").to_owned();
            return Ok(Self { files: Files::Directory(directory), gguf: Some(file), name });
        }
        // `.` and `..` have no name of their own.
        let absolute = path.canonicalize().unwrap_or_else(|_| path.to_owned());
        let name = file_name(&absolute).unwrap_or_else(|| "model".to_owned());
        let bundle = Self { files: Files::Directory(path.to_owned()), gguf: None, name };
        if bundle.has("model.safetensors.index.json") || bundle.has("model.safetensors") {
            return Ok(bundle);
        }
        let mut found = gguf_files(path)?;
        match found.len() {
            0 => Err(LoadError::NoModel { path: path.to_owned() }),
            1 => Ok(Self { gguf: found.pop(), ..bundle }),
            _ => Err(LoadError::SeveralGguf { path: path.to_owned(), names: found }),
        }
    }

    pub(crate) fn named(self, name: String) -> Self {
        Self { name, ..self }
    }

    fn has(&self, file: &str) -> bool {
        match &self.files {
            Files::Directory(directory) => directory.join(file).is_file(),
            Files::Embedded(files) => files.iter().any(|(name, _)| *name == file),
        }
    }

    /// A small file, if it is there.
    pub(crate) fn read(&self, file: &str) -> Result<Option<Vec<u8>>, LoadError> {
        match &self.files {
            Files::Embedded(files) => {
                Ok(files.iter().find(|(name, _)| *name == file).map(|(_, bytes)| bytes.to_vec()))
            }
            Files::Directory(directory) => {
                let path = directory.join(file);
                if !path.is_file() {
                    return Ok(None);
                }
                let failed = |source| LoadError::ReadFile { path: path.clone(), source };
                let length = path.metadata().map_err(failed)?.len();
                if length > MAX_SIDE_FILE {
                    return Err(failed(std::io::Error::other(format!("{length} bytes are too many"))));
                }
                std::fs::read(&path).map(Some).map_err(failed)
            }
        }
    }

    /// A file of weights.
    pub(crate) fn open(&self, file: &str) -> Result<Box<dyn WeightFile>, LoadError> {
        let missing = || LoadError::MissingFile { file: file.to_owned() };
        match &self.files {
            Files::Embedded(files) => {
                let (_, bytes) = files.iter().find(|(name, _)| *name == file).ok_or_else(missing)?;
                Ok(Box::new(Cursor::new(*bytes)))
            }
            Files::Directory(directory) => {
                let path = directory.join(file);
                if !path.is_file() {
                    return Err(missing());
                }
                let file = File::open(&path).map_err(|source| LoadError::ReadFile { path, source })?;
                Ok(Box::new(BufReader::with_capacity(1 << 20, file)))
            }
        }
    }
}

fn gguf_files(directory: &Path) -> Result<Vec<String>, LoadError> {
    let entries = match std::fs::read_dir(directory) {
        Ok(entries) => entries,
        Err(_) if !directory.is_dir() => return Err(LoadError::NoModel { path: directory.to_owned() }),
        Err(source) => return Err(LoadError::ReadFile { path: directory.to_owned(), source }),
    };
    let names = entries.flatten().map(|entry| entry.file_name().to_string_lossy().into_owned());
    let mut names: Vec<String> = names.filter(|name| name.ends_with(".gguf")).collect();
    names.sort();
    Ok(names)
}

/// What `--model` means.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Spec {
    Demo,
    Path(PathBuf),
    Hub(hub::HubName),
}

impl Spec {
    /// A path wins over a hub name of the same spelling: nothing is fetched that lies here.
    pub(crate) fn parse(text: &str) -> Result<Self, LoadError> {
        let path = Path::new(text);
        if text == "demo" {
            Ok(Self::Demo)
        } else if path.exists() {
            Ok(Self::Path(path.to_owned()))
        } else if text.starts_with(['/', '.', '~']) {
            Err(LoadError::NoModel { path: path.to_owned() })
        } else {
            let name = hub::HubName::parse(text);
            name.map(Self::Hub).ok_or_else(|| LoadError::UnknownSpec { spec: text.to_owned() })
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn specs() {
        assert_eq!(Spec::parse("demo").unwrap(), Spec::Demo);
        assert!(matches!(Spec::parse("src"), Ok(Spec::Path(_))));
        assert!(matches!(Spec::parse("acme/tiny-chat"), Ok(Spec::Hub(_))));
        assert!(matches!(Spec::parse("./nowhere/x"), Err(LoadError::NoModel { .. })));
        assert!(matches!(Spec::parse("just-a-word"), Err(LoadError::UnknownSpec { .. })));
        assert!(matches!(Spec::parse("a/b/c"), Err(LoadError::UnknownSpec { .. })));
    }

    #[test]
    fn a_directory_says_what_it_lacks() {
        let directory = tempfile::tempdir().unwrap();
        let error = Bundle::at_path(directory.path()).unwrap_err();
        assert!(matches!(error, LoadError::NoModel { .. }), "{error}");
        for name in ["a.gguf", "b.gguf"] {
            std::fs::write(directory.path().join(name), b"").unwrap();
        }
        let error = Bundle::at_path(directory.path()).unwrap_err();
        assert!(matches!(&error, LoadError::SeveralGguf { names, .. } if names.len() == 2), "{error}");
        let one = Bundle::at_path(&directory.path().join("a.gguf")).unwrap();
        assert_eq!((one.gguf.as_deref(), one.name.as_str()), (Some("a.gguf"), "a"));
    }
}
