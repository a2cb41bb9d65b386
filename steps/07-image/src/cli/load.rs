//! `import` and `load`.

use std::io::{IsTerminal, stdin};
use std::path::PathBuf;

use anyhow::Result;
use kit::{Failure, FailureKind};

use crate::args::StoreArgs;
use crate::instruction::Instruction;
use crate::load;
use crate::reference::Reference;
use crate::store::TaggedImage;

/// Options of `import`.
#[derive(clap::Args)]
pub struct Import {
    #[command(flatten)]
    store: StoreArgs,
    /// Say how to run the image, as in a Dockerfile: CMD ["sh"]
    ///
    /// Also ENTRYPOINT, ENV, EXPOSE, LABEL, STOPSIGNAL, USER, VOLUME and WORKDIR.
    #[arg(short, long, value_name = "INSTRUCTION")]
    change: Vec<Instruction>,
    /// A comment for the history of the image
    #[arg(short, long)]
    message: Option<String>,
    /// The archive; - is the standard input
    #[arg(value_name = "TAR")]
    archive: PathBuf,
    /// The name of the new image; without one, it is known by its id alone
    #[arg(value_name = "NAME[:TAG]")]
    name: Option<Reference>,
}

impl Import {
    pub(super) fn run(&self) -> Result<()> {
        let store = self.store.open()?;
        let hint = user::how_to_get_ids(&user::helpers());
        store.as_root(|| {
            let description = load::Description {
                name: self.name.clone(),
                changes: self.change.clone(),
                comment: self.message.clone(),
            };
            let id = load::import(&store, &self.archive, description, &hint)?;
            kit::print(format_args!("{id}\n"))
        })
    }
}

/// Options of `load`.
#[derive(clap::Args)]
pub struct Load {
    #[command(flatten)]
    store: StoreArgs,
    /// The archive or directory [default: the standard input]
    #[arg(value_name = "FILE|DIR")]
    source: Option<PathBuf>,
    /// The same, as in Docker
    #[arg(short, long, value_name = "FILE|DIR", conflicts_with = "source")]
    input: Option<PathBuf>,
}

impl Load {
    pub(super) fn run(&self) -> Result<()> {
        let source = match self.source.as_ref().or(self.input.as_ref()) {
            Some(source) => source.clone(),
            None => standard_input()?,
        };
        let store = self.store.open()?;
        let hint = user::how_to_get_ids(&user::helpers());
        store.as_root(|| {
            load::load(&store, &source, &hint, |image: &TaggedImage| {
                kit::print(format_args!("Loaded {}\n", image.display_name()))
            })
        })
    }
}

/// Returns the name of the standard input, unless somebody would have to type the
/// archive.
fn standard_input() -> Result<PathBuf> {
    if stdin().is_terminal() {
        let failure = Failure::new("the archive would come from the terminal");
        let failure = failure.with_kind(FailureKind::Usage);
        return Err(failure.hint("name a file, or use < or |").into());
    }
    Ok("-".into())
}
