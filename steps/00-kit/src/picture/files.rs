//! The directories in which the runtime keeps its notes, images and layers.

use super::call::Call;
use super::{Field, Place};

#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Files {
    directories: Vec<Directory>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
struct Directory {
    path: String,
    notes: Vec<String>,
}

impl Files {
    pub fn apply(&mut self, call: &Call<'_>) {
        let path = call.arg(0);
        if !call.is_on_host() || path.starts_with("/sys/") {
            return;
        }
        match call.name {
            "mkdir" => {
                self.directories.retain(|directory| directory.path != path);
                self.directories
                    .push(Directory { path: path.into(), notes: Vec::new() });
            }
            "rmdir" => self.directories.retain(|directory| directory.path != path),
            "flock" => self.note(path, "locked".into()),
            "write" => {
                if let Some((directory, file)) = path.rsplit_once('/') {
                    self.note(directory, file.into());
                }
            }
            // The narration names only the new place.
            "rename" => {
                if let Some(last) = self.directories.last_mut() {
                    last.path = path.into();
                }
            }
            _ => {}
        }
    }

    fn note(&mut self, path: &str, note: String) {
        let found = self.directories.iter_mut().find(|it| it.path == path);
        if let Some(directory) = found.filter(|it| !it.notes.contains(&note)) {
            directory.notes.push(note);
        }
    }

    pub fn fields(&self) -> Vec<Field> {
        let shown = |it: &Directory| match it.notes.is_empty() {
            true => it.path.clone(),
            false => format!("{}: {}", it.path, it.notes.join(", ")),
        };
        let directories = self.directories.iter().map(shown);
        vec![Field::new(Place::Host, "directories", directories)]
    }
}
