//! `inspect`.

use anyhow::Result;
use serde_json::{Value, json};

use super::output::print_json;
use super::template::Template;
use crate::args::StoreArgs;
use crate::image::Image;
use crate::reference::ImageName;
use crate::store::Store;

/// Options of `inspect`.
#[derive(clap::Args)]
pub struct Inspect {
    #[command(flatten)]
    store: StoreArgs,
    /// Print this of each image: {{.Id}} or {{json .Config}}, with Docker's names
    ///
    /// A text with paths of fields: Architecture, Config, Created, Digest, Id, Os,
    /// RepoDigests, RepoTags, RootFS, Size. Nothing else of Docker's templates.
    #[arg(short, long, value_name = "TEMPLATE")]
    format: Option<Template>,
    /// The images; several are printed as a list
    #[arg(value_name = "NAME[:TAG]", required = true)]
    images: Vec<ImageName>,
}

impl Inspect {
    pub(super) fn run(&self) -> Result<()> {
        let store = self.store.open()?;
        let _shared = store.lock_shared()?;
        let found = self.images.iter().map(|name| Image::find(&store, name));
        let images: Vec<Image> = found.collect::<Result<_>>()?;
        if let Some(template) = &self.format {
            let line =
                |image| Ok(template.render(&docker_document(&store, image)?)? + "\n");
            let lines: Result<String> = images.iter().map(line).collect();
            return kit::print(lines?);
        }
        let documents = images.iter().map(|image| document(&store, image));
        match &documents.collect::<Result<Vec<Value>>>()?[..] {
            [one] => print_json(one),
            several => print_json(&several),
        }
    }
}

fn document(store: &Store, image: &Image) -> Result<Value> {
    let path = |layer| store.layer(layer).display().to_string();
    let unpacked: Vec<String> = image.chain_ids()?.iter().map(path).collect();
    Ok(json!({
        "id": image.tagged.id,
        "digest": image.tagged.manifest,
        "names": names(store, image)?,
        "size": image.tagged.size,
        "manifest": image.manifest,
        "configuration": serde_json::from_slice::<Value>(&image.configuration_bytes)?,
        "unpacked": unpacked,
    }))
}

fn names(store: &Store, image: &Image) -> Result<Vec<String>> {
    let index = store.index()?;
    let same_id = index.images().iter().filter(|it| it.id == image.tagged.id);
    Ok(same_id.filter_map(|it| Some(it.reference.as_ref()?.to_string())).collect())
}

/// Makes the document of an image with the names that `docker image inspect` has.
fn docker_document(store: &Store, image: &Image) -> Result<Value> {
    let configuration: Value = serde_json::from_slice(&image.configuration_bytes)?;
    // Docker prints these also where the image does not set them.
    let mut config = json!({
        "Cmd": [], "Entrypoint": [], "Env": [], "ExposedPorts": null, "Labels": null,
        "StopSignal": "", "User": "", "Volumes": null, "WorkingDir": "",
    });
    for (name, value) in configuration["config"].as_object().into_iter().flatten() {
        if !value.is_null() {
            config[name] = value.clone();
        }
    }
    let digest = image.tagged.manifest;
    let reference = image.tagged.reference.as_ref();
    let digests = reference.map(|reference| format!("{}@{digest}", reference.name()));
    Ok(json!({
        "Architecture": configuration["architecture"],
        "Config": config,
        "Created": configuration["created"],
        "Digest": digest,
        "Id": image.tagged.id,
        "Os": configuration["os"],
        "RepoDigests": digests.into_iter().collect::<Vec<_>>(),
        "RepoTags": names(store, image)?,
        "RootFS": { "Type": "layers", "Layers": configuration["rootfs"]["diff_ids"] },
        "Size": image.tagged.size,
    }))
}
