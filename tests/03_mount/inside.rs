//! The library opens paths inside a root that is not the host's `/`. The program of
//! this step uses the host's root, so a run of the program cannot test this.

use std::fs::File;
use std::os::fd::AsFd;

use nix::errno::Errno;

use super::*;

/// Opens a path inside this directory, and returns the device and inode number.
fn open_inside(root: &File, path: &str) -> Result<(u64, u64), Option<Errno>> {
    let opened = mount::inside::open(root.as_fd(), path.as_ref());
    let opened = opened.map_err(|error| kit::errno(&error))?;
    Ok(id(&File::from(opened)))
}

fn id(file: &File) -> (u64, u64) {
    let metadata = file.metadata().unwrap();
    (metadata.dev(), metadata.ino())
}

#[test]
fn neither_a_link_nor_dots_lead_out_of_a_root() {
    let Some(fixture) = Fixture::of(step!("03-mount"), &[]) else { return };
    let (path, _) = directory(&fixture, "root");
    directory(&fixture, "root/below");
    symlink("/etc", path.join("link")).unwrap();
    symlink("../../../../../../../../etc", path.join("below/climbs")).unwrap();
    let root = File::open(&path).unwrap();
    let links = ["/link", "link", "/below/climbs", "../../link", "below/../../link"];

    for link in links {
        assert_eq!(open_inside(&root, link), Err(Some(Errno::ENOENT)), "{link}");
    }
    for above in ["/", "..", "../..", "/../..", "below/../../.."] {
        assert_eq!(open_inside(&root, above), Ok(id(&root)), "{above}");
    }
    let (own, _) = directory(&fixture, "root/etc");
    let own = id(&File::open(own).unwrap());
    for link in links {
        assert_eq!(open_inside(&root, link), Ok(own), "{link}");
    }
}
