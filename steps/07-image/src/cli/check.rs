//! `check`.

use std::path::PathBuf;

use anyhow::{Result, ensure};
use kit::Failure;

use crate::args::StoreArgs;
use crate::check::{CheckedImage, check_images, check_source};
use crate::reference::ImageName;

/// Options of `check`.
#[derive(clap::Args)]
pub struct Check {
    #[command(flatten)]
    store: StoreArgs,
    /// Check the images of this archive or directory, without loading them
    #[arg(short, long, value_name = "FILE|DIR", conflicts_with = "images")]
    input: Option<PathBuf>,
    /// The images; by default all images of the store
    #[arg(value_name = "NAME[:TAG]")]
    images: Vec<ImageName>,
}

impl Check {
    pub(super) fn run(&self) -> Result<()> {
        let store = self.store.open()?;
        store.as_root(|| {
            let checked = match &self.input {
                Some(path) => check_source(&store, path)?,
                None => check_images(&store, &self.images)?,
            };
            kit::print(checked.iter().map(lines).collect::<String>())?;
            let damaged = checked.iter().filter(|it| !it.damage.is_empty()).count();
            let hint = match &self.input {
                Some(_) => "`load` would refuse it: get it again",
                None => "`load` it again to repair it, or remove it with `rmi`",
            };
            ensure!(
                damaged == 0,
                Failure::new(format_args!(
                    "damaged images: {damaged} of {}",
                    checked.len()
                ))
                .hint(hint)
            );
            Ok(())
        })
    }
}

fn lines(image: &CheckedImage) -> String {
    let name = &image.name;
    if image.damage.is_empty() {
        return format!("{name}: ok\n");
    }
    let line = |why: &String| {
        format!("{name}: damaged: {}\n", kit::escape_control_characters(why))
    };
    image.damage.iter().map(line).collect()
}
