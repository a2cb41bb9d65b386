//! The test's own store of images, which belongs to root or to a user.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use kiste_tests::image::{Compression, Layout, chain_id};
use kiste_tests::tasks::in_addition;
use kiste_tests::tree::Node;
use kiste_tests::user::{GIDS, UIDS};
use kiste_tests::{Fixture, Ran, Running, Tree, User};
use serde_json::Value;

use crate::minimal_layer::minimal_layer;
use crate::this_step;

/// The checks of doctor that every test of this step needs.
const NEEDS: &[&str] = &["pivot-root", "user-namespace", "overlay"];

/// A store of root or of a user.
pub enum TestStore {
    Root(Fixture),
    User(User),
}

/// Makes a store that belongs to root.
pub fn root() -> Option<TestStore> {
    Fixture::of(this_step(), &[NEEDS, &["root"]].concat()).map(TestStore::Root)
}

/// Makes a store of a user with ranges of ids in /etc/subuid and /etc/subgid.
pub fn with_ranges() -> Option<TestStore> {
    User::with_ranges(this_step(), NEEDS).map(TestStore::User)
}

/// Makes a store of a user without such ranges.
pub fn without_ranges() -> Option<TestStore> {
    User::without_ranges(this_step(), NEEDS).map(TestStore::User)
}

/// Runs a test as root, and then as a user with ranges of ids.
pub fn as_root_and_as_user(test: impl Fn(&TestStore)) {
    for store in [root(), in_addition(with_ranges)].into_iter().flatten() {
        test(&store);
        store.assert_gc_empties_a_store_without_images();
    }
}

/// An image as `images` lists it.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct ListedImage {
    pub name: String,
    pub id: String,
}

impl TestStore {
    /// Returns the fixture in which the store is.
    pub fn fixture(&self) -> &Fixture {
        match self {
            TestStore::Root(fixture) => fixture,
            TestStore::User(user) => user.fixture(),
        }
    }

    /// Returns the test's directory.
    pub fn dir(&self) -> &Path {
        self.fixture().dir()
    }

    /// Returns the directory of the store.
    pub fn path(&self) -> PathBuf {
        self.fixture().store()
    }

    /// Changes the owner of this path to the owner of the store.
    pub fn chown_to_owner(&self, path: &Path) {
        if let TestStore::User(user) = self {
            user.chown_to_user(path);
        }
    }

    /// Writes a file in the test's directory, and returns its path.
    pub fn file(&self, name: &str, bytes: impl AsRef<[u8]>) -> PathBuf {
        let path = self.dir().join(name);
        fs::write(&path, bytes).unwrap();
        self.chown_to_owner(&path);
        path
    }

    /// Runs the program with exactly these arguments.
    pub fn call_exactly(&self, arguments: &[&str]) -> Ran {
        match self {
            TestStore::Root(fixture) => fixture.call(arguments),
            TestStore::User(user) => user.call(arguments),
        }
    }

    /// Runs the program with these arguments, the first of which is a subcommand, on
    /// this store.
    pub fn call(&self, arguments: &[&str]) -> Ran {
        let store_path = self.path();
        let store_path = ["--store", store_path.to_str().unwrap()];
        self.call_exactly(&[&arguments[..1], &store_path, &arguments[1..]].concat())
    }

    /// Returns the command that `call` runs, without input and output.
    pub fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(self.fixture().exe());
        command.arg(arguments[0]).arg("--store").arg(self.path()).args(&arguments[1..]);
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        command
    }

    /// Runs the program as `call` does, with this file as stdin.
    pub fn call_with_stdin(&mut self, stdin: &Path, arguments: &[&str]) -> Ran {
        let store_path = self.path();
        let store_path = ["--store", store_path.to_str().unwrap()];
        let arguments = [&arguments[..1], &store_path, &arguments[1..]].concat();
        let script = format!("exec \"$@\" < {}", stdin.display());
        let shell = ["sh", "-c", &script, "sh"];
        match self {
            TestStore::Root(fixture) => fixture.call_under(&shell, arguments),
            TestStore::User(user) => {
                user.user_prefix = shell.map(String::from).to_vec();
                let ran = user.call(arguments);
                user.user_prefix.clear();
                ran
            }
        }
    }

    /// Runs `gc`, on this store and on the test's run directories.
    pub fn gc(&self) -> Ran {
        self.call(&["gc", "--run-dir", self.fixture().run_dirs().to_str().unwrap()])
    }

    /// Runs a command in a container of an image, until it ends.
    pub fn run(&self, image: &str, options: &[&str], command: &[&str]) -> Ran {
        let options = [&["--image", image], options].concat();
        match self {
            TestStore::Root(fixture) => fixture.run(&options, command),
            TestStore::User(user) => user.run(&options, command),
        }
    }

    /// Runs a shell script in a container of an image, until it ends.
    pub fn sh(&self, image: &str, options: &[&str], script: &str) -> Ran {
        self.run(image, options, &["sh", "-c", script])
    }

    /// Starts a command in a container of an image, and returns once it runs.
    pub fn start(&self, image: &str, options: &[&str], command: &[&str]) -> Running {
        let options = [&["--image", image], options].concat();
        match self {
            TestStore::Root(fixture) => fixture.start(&options, command),
            TestStore::User(user) => user.start(&options, command),
        }
    }

    /// Imports an archive, and returns the id that is printed.
    #[track_caller]
    pub fn import(&self, tar: impl AsRef<[u8]>, name: &str) -> String {
        let file =
            self.file(&format!("import-{}.tar", kiste_tests::host::unique()), tar);
        let ran = self.call(&["import", file.to_str().unwrap(), name]);
        let id = ran.exits(0).out.trim_end().to_owned();
        assert!(id.len() == 71 && id.starts_with("sha256:"), "{ran:?}");
        fs::remove_file(file).unwrap();
        id
    }

    /// Loads an archive, and returns the lines that are printed.
    #[track_caller]
    pub fn load(&self, archive: impl AsRef<[u8]>) -> Vec<String> {
        let file =
            self.file(&format!("load-{}.tar", kiste_tests::host::unique()), archive);
        let ran = self.call(&["load", "-i", file.to_str().unwrap()]);
        let lines = ran.exits(0).out.lines().map(String::from).collect();
        fs::remove_file(file).unwrap();
        lines
    }

    /// Tries to import a tarball as `small:1`.
    pub fn try_import(&self, tar: impl AsRef<[u8]>) -> Ran {
        self.try_with_file(tar, |file| self.call(&["import", file, "small:1"]))
    }

    /// Tries to load an archive.
    pub fn try_load(&self, archive: impl AsRef<[u8]>) -> Ran {
        self.try_with_file(archive, |file| self.call(&["load", file]))
    }

    fn try_with_file(
        &self,
        bytes: impl AsRef<[u8]>,
        call: impl Fn(&str) -> Ran,
    ) -> Ran {
        let file = self.file("archive.tar", bytes);
        let ran = call(file.to_str().unwrap());
        fs::remove_file(file).unwrap();
        ran
    }

    /// Loads an image `small:1` that consists of the minimal layer and these layers on
    /// top.
    #[track_caller]
    pub fn load_on_minimal_layer(&self, layers: &[Vec<u8>]) {
        let layers = [&[minimal_layer()], layers].concat();
        assert_eq!(
            self.load(Layout::of("small:1", &layers, Compression::Gzip).tar()),
            ["Loaded small:1"]
        );
    }

    /// Returns the images that `images` lists.
    #[track_caller]
    pub fn images(&self) -> Vec<ListedImage> {
        let ran = self.call(&["images", "--format", "json"]);
        let list: Vec<Value> = serde_json::from_str(&ran.exits(0).out).expect("JSON");
        let text = |image: &Value, key: &str| {
            image[key].as_str().unwrap_or("<none>").to_owned()
        };
        let listed = |image: &Value| ListedImage {
            name: format!("{}:{}", text(image, "name"), text(image, "tag")),
            id: text(image, "id"),
        };
        let mut list: Vec<ListedImage> = list.iter().map(listed).collect();
        list.sort();
        list
    }

    /// Returns the names that `images` lists.
    #[track_caller]
    pub fn names(&self) -> Vec<String> {
        self.images().into_iter().map(|image| image.name).collect()
    }

    /// Returns the sorted names in a directory of the store, or none if the directory
    /// does not exist.
    pub fn names_in(&self, directory: &str) -> Vec<String> {
        let entries = fs::read_dir(self.path().join(directory)).into_iter().flatten();
        let mut names: Vec<String> =
            entries.map(|it| it.unwrap().file_name().into_string().unwrap()).collect();
        names.sort();
        names
    }

    /// Returns the store's directory of the topmost of these layers.
    pub fn layer(&self, layers: &[Vec<u8>]) -> PathBuf {
        self.path().join("layers").join(&chain_id(layers)["sha256:".len()..])
    }

    /// Asserts that the store has no layer, no container and no unfinished file.
    #[track_caller]
    pub fn assert_empty(&self, after: &str) {
        for directory in ["layers", "tmp", "containers"] {
            assert_eq!(self.names_in(directory), [""; 0], "{directory} after {after}");
        }
        if self.path().exists() {
            assert_eq!(self.images(), [], "after {after}");
        }
        // A user's `gc` is slow, because of newuidmap: `as_root_and_as_user` runs it
        // once, at the end of the test.
        if let TestStore::Root(_) = self {
            self.assert_gc_empties_a_store_without_images();
        }
    }

    /// Asserts that `gc` of a store without images leaves nothing in it.
    #[track_caller]
    fn assert_gc_empties_a_store_without_images(&self) {
        let index = fs::read(self.path().join("index.json"))
            .unwrap_or_else(|_| br#"{"manifests":[]}"#.into());
        let is_empty =
            |index: Value| index["manifests"].as_array().is_some_and(Vec::is_empty);
        if self.path().exists() && serde_json::from_slice(&index).is_ok_and(is_empty) {
            self.gc().exits(0);
            for directory in ["blobs/sha256", "layers", "tmp", "containers"] {
                assert_eq!(
                    self.names_in(directory),
                    [""; 0],
                    "{directory}, without an image"
                );
            }
        }
    }

    /// Returns the tree that a container of this image sees at this path, with the
    /// owners that it sees.
    #[track_caller]
    pub fn tree_in_container(&self, image: &str, path: &str) -> Tree {
        let running = self.start(image, &["--entrypoint", "/bin/sleep"], &["1000"]);
        let path =
            format!("/proc/{}/root/{}", running.pid, path.trim_start_matches('/'));
        self.with_owners_inside(Tree::of(Path::new(&path)))
    }

    /// Replaces the owners in a tree by those that a container sees.
    pub fn with_owners_inside(&self, tree: Tree) -> Tree {
        let TestStore::User(user) = self else { return tree };
        let id = |id: u32, own: u32, first: u32| match id {
            _ if id == own => 0,
            _ if (first..first + 65536).contains(&id) => id - first + 1,
            _ => panic!("{id} is not mapped"),
        };
        tree.map_nodes(|_, node: &mut Node| {
            node.owner =
                (id(node.owner.0, user.uid, UIDS), id(node.owner.1, user.gid, GIDS));
        })
    }

    /// Lets every user enter the test's directory, since a program that another user
    /// runs starts in it.
    pub fn let_others_enter(&self) {
        fs::set_permissions(self.dir(), fs::Permissions::from_mode(0o755)).unwrap();
    }
}
